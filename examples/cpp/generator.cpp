#include "generator.h"

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iterator>
#include <locale>
#include <new>
#include <sstream>
#include <stdexcept>

#include "json.h"

namespace caloforge {
namespace {

constexpr int kCardVersion = 1;

// Within this file an error is an exception; `guarded` ends its way.
[[noreturn]] void fail(const std::string& text) { throw std::runtime_error(text); }

template <class T, class Function>
Result<T> guarded(Function function) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return Error{"out of memory"};
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

const OrtApi& api() {
  static const OrtApi* const found = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!found) fail("onnxruntime " + std::string(OrtGetApiBase()->GetVersionString()) + " is older than its headers");
  return *found;
}

template <auto release>
struct Release {
  template <class T>
  void operator()(T* object) const {
    (api().*release)(object);
  }
};

template <class T, auto release>
using Owner = std::unique_ptr<T, Release<release>>;

void check(OrtStatus* status) {
  if (!status) return;
  const Owner<OrtStatus, &OrtApi::ReleaseStatus> held{status};
  std::string text = api().GetErrorMessage(status);
  std::replace(text.begin(), text.end(), '\n', ' ');
  fail("onnxruntime: " + text);
}

// What a function of the API creates in its last argument.
template <class Held, class Function, class... Arguments>
Held made(Function function, Arguments... arguments) {
  typename Held::pointer object = nullptr;
  check(function(arguments..., &object));
  return Held{object};
}

std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << value;
  return text.str();
}

Json card_of(const std::filesystem::path& graph) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(graph, ignored)) fail("no such file");
  std::ifstream file{graph.string() + ".json", std::ios::binary};
  if (!file) fail("its card, " + graph.filename().string() + ".json, is not next to it: copy it there");
  const Json card = JsonReader::read({std::istreambuf_iterator<char>{file}, {}});
  if (!card.find("card_version")) fail("its card has no card_version: export it again");
  if (card.number("card_version") > kCardVersion) {
    fail("its card is of version " + text_of(card.number("card_version")) + ", but this program reads version " +
         text_of(kCardVersion) + ": use the client that comes with caloforge " + card.text("caloforge_version"));
  }
  if (!card.find("inputs")) fail("it holds showers (" + card.text("format") + "), not a graph");
  return card;
}

std::string unit_of(const Json& column) {
  const std::string& unit = column.text("unit");
  return unit.empty() ? "" : " " + unit;
}

// The range of the training in words.
std::string trained(const Json& column) {
  std::string ranges;
  for (const Json& interval : column.array("accepted")) {
    ranges += (ranges.empty() ? "" : ", ") + text_of(interval.at(0).as<double>());
    ranges += " to " + text_of(interval.at(1).as<double>());
  }
  return ranges + unit_of(column);
}

// The value, which must be in one of the column's intervals; NaN is in none.
double accepted(double value, const std::string& name, const Json& column) {
  if (const Json* period = column.find("period")) value = std::remainder(value, period->as<double>());
  for (const Json& interval : column.array("accepted"))
    if (value >= interval.at(0).as<double>() && value <= interval.at(1).as<double>()) return value;
  fail(name + " " + text_of(value) + unit_of(column) + " is outside the range of the training, " + trained(column));
}

// Appends the values of a column, or of several that belong together. `noise` moves behind the numbers that they take.
void append(const Json& column, const Particle& particle, const float*& noise, std::vector<float>& row) {
  const std::string& kind = column.text("kind");
  if (kind == "noise") {
    const double mean = column.number("mean"), deviation = column.number("deviation");
    const auto end = noise + static_cast<std::size_t>(column.number("size"));
    for (; noise != end; ++noise) {
      if (!std::isfinite(*noise)) fail("a number of the noise is " + text_of(*noise));
      row.push_back(static_cast<float>(mean + deviation * *noise));
    }
  } else if (kind == "energy") {
    const double energy = accepted(particle.energy, "energy", column);
    const double encoded = column["logarithm"].as<bool>() ? std::log(energy) : energy;
    row.push_back(static_cast<float>(column.number("offset") + column.number("factor") * encoded));
  } else if (kind == "condition") {
    const std::string& name = column.text("name");
    const auto found = particle.conditions.find(name);
    if (found == particle.conditions.end())
      fail("the condition " + name + " is missing; the run was trained at " + trained(column));
    row.push_back(static_cast<float>(column.number("factor") * accepted(found->second, name, column)));
  } else if (kind == "constant") {
    for (const Json& value : column.array("values")) row.push_back(static_cast<float>(value.as<double>()));
  } else {
    fail("columns of the kind '" + kind + "' are unknown");
  }
}

}  // namespace

struct Generator::Session {
  using Value = Owner<OrtValue, &OrtApi::ReleaseValue>;

  std::vector<std::pair<std::string, Json>> inputs;  // name → columns
  std::vector<std::string> conditions;
  std::string output;
  std::size_t noise_size = 0, n_voxels = 0;
  bool single = false;  // one shower per call
  double mev = 1;
  bool times_energy = false;

  // The session uses the others, so they are released after it.
  Owner<OrtEnv, &OrtApi::ReleaseEnv> env;
  Owner<OrtMemoryInfo, &OrtApi::ReleaseMemoryInfo> memory;
  Owner<OrtSession, &OrtApi::ReleaseSession> session;

  Session(const std::filesystem::path& graph, const Options& options) {
    const Json card = card_of(graph);
    for (const auto& [name, input] : card["inputs"].as<Json::Object>()) {
      inputs.emplace_back(name, input["columns"]);
      for (const Json& column : input.array("columns")) {
        if (column.text("kind") == "noise") noise_size += static_cast<std::size_t>(column.number("size"));
        if (column.text("kind") == "condition") conditions.push_back(column.text("name"));
      }
    }
    const auto& [name, facts] = card["output"].as<Json::Object>().at(0);
    output = name;
    single = std::holds_alternative<double>(facts["shape"].at(0).value);
    n_voxels = static_cast<std::size_t>(facts["shape"].at(1).as<double>());
    mev = facts.number("mev_per_unit");
    times_energy = facts["times_energy"].as<bool>();

    env = made<decltype(env)>(api().CreateEnv, ORT_LOGGING_LEVEL_ERROR, "caloforge");
    memory = made<decltype(memory)>(api().CreateCpuMemoryInfo, OrtDeviceAllocator, OrtMemTypeDefault);
    const auto settings =
        made<Owner<OrtSessionOptions, &OrtApi::ReleaseSessionOptions>>(api().CreateSessionOptions);
    check(api().SetIntraOpNumThreads(settings.get(), options.threads));
    check(api().SetInterOpNumThreads(settings.get(), 1));
    const GraphOptimizationLevel level = options.optimise ? ORT_ENABLE_ALL : ORT_DISABLE_ALL;
    check(api().SetSessionGraphOptimizationLevel(settings.get(), level));
    session = made<decltype(session)>(api().CreateSession, env.get(), graph.c_str(), settings.get());
    for (const char* key : {"inputs", "output"})
      if (!(metadata(key) == card[key])) fail("its card is that of another export");
  }

  // An entry of the card that is stored in the graph.
  Json metadata(const std::string& key) const {
    OrtAllocator* allocator = nullptr;
    check(api().GetAllocatorWithDefaultOptions(&allocator));
    const auto facts = made<Owner<OrtModelMetadata, &OrtApi::ReleaseModelMetadata>>(api().SessionGetModelMetadata,
                                                                                    session.get());
    char* text = nullptr;
    check(api().ModelMetadataLookupCustomMetadataMap(facts.get(), allocator, ("caloforge." + key).c_str(), &text));
    if (!text) return {};
    const std::string copy = text;
    check(api().AllocatorFree(allocator, text));
    return JsonReader::read(copy);
  }

  Value tensor(float* data, std::size_t rows, std::size_t columns) const {
    const std::int64_t shape[] = {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)};
    return made<Value>(api().CreateTensorWithDataAsOrtValue, memory.get(), data, rows * columns * sizeof(float), shape,
                       std::size_t{2}, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  }

  // One call of the graph.
  void run(const Particle* particles, std::size_t n, const float* noise, float* voxels) const {
    std::vector<std::vector<float>> rows(inputs.size());
    std::vector<Value> held;
    std::vector<const OrtValue*> values;
    std::vector<const char*> names;
    for (std::size_t i = 0; i < n; ++i) {
      const float* next = noise + i * noise_size;
      for (std::size_t k = 0; k < inputs.size(); ++k)
        for (const Json& column : inputs[k].second.as<Json::Array>()) append(column, particles[i], next, rows[k]);
    }
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      held.push_back(tensor(rows[k].data(), n, rows[k].size() / n));
      values.push_back(held.back().get());
      names.push_back(inputs[k].first.c_str());
    }
    const Value result = tensor(voxels, n, n_voxels);
    OrtValue* target = result.get();
    const char* output_name = output.c_str();
    check(api().Run(session.get(), nullptr, names.data(), values.data(), names.size(), &output_name, 1, &target));
    for (std::size_t i = 0; i < n; ++i) {
      const double factor = times_energy ? mev * particles[i].energy : mev;
      for (std::size_t v = 0; v < n_voxels; ++v) {
        float& voxel = voxels[i * n_voxels + v];
        voxel = static_cast<float>(factor * voxel);
        if (!(voxel >= 0 && std::isfinite(voxel))) fail("voxel " + std::to_string(v) + " is " + text_of(voxel));
      }
    }
  }
};

Generator::Generator(std::unique_ptr<const Session> session) noexcept : session_{std::move(session)} {}
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;
Generator::~Generator() = default;

Result<Generator> Generator::open(const std::filesystem::path& graph, const Options& options) noexcept {
  return guarded<Generator>([&] {
    try {
      return Generator{std::make_unique<const Session>(graph, options)};
    } catch (const std::runtime_error& error) {
      fail(graph.string() + ": " + error.what());
    }
  });
}

std::size_t Generator::noise_size() const noexcept { return session_->noise_size; }
std::size_t Generator::n_voxels() const noexcept { return session_->n_voxels; }

Result<std::vector<float>> Generator::generate(const std::vector<Particle>& particles,
                                               const std::vector<float>& noise) const noexcept {
  return guarded<std::vector<float>>([&] {
    const std::size_t n = particles.size(), size = session_->noise_size;
    if (noise.size() != n * size) {
      fail(std::to_string(n) + " showers take " + std::to_string(n * size) + " numbers of noise, " +
           std::to_string(size) + " each, not " + std::to_string(noise.size()));
    }
    for (const Particle& particle : particles)
      for (const auto& given : particle.conditions)
        if (const auto& known = session_->conditions; std::find(known.begin(), known.end(), given.first) == known.end())
          fail("the graph takes no condition " + given.first);
    std::vector<float> voxels(n * session_->n_voxels);
    const std::size_t step = session_->single ? 1 : n;
    for (std::size_t i = 0; i < n; i += step)
      session_->run(&particles[i], step, noise.data() + i * size, voxels.data() + i * session_->n_voxels);
    return voxels;
  });
}

}  // namespace caloforge
