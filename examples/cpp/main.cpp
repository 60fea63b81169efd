// Showers from an export of caloforge: prints them, and how long they took.
//
//     shower photons.onnx --energy 4096 -n 100 --seed 1 --threads 2

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <functional>
#include <iterator>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "generator.h"

#ifdef __linux__
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUsage =
    "usage: shower EXPORT.onnx --energy MEV [options]\n"
    "  --energy MEV            incident energy; repeated, the showers take them in turn\n"
    "  --condition NAME=VALUE  further condition, in the unit of the card\n"
    "  -n N                    number of showers (10)\n"
    "  --seed S                of the noise; by default another one each time\n"
    "  --noise FILE            the noise itself, float32 from N(0, 1), instead of a seed\n"
    "  --threads T             each generates a part of the showers, in one session (1)\n"
    "  --batch B               showers per call (1)\n"
    "  --sessions K            open the graph K times, for the memory of each (1)\n"
    "  --no-optimisation       of the graph by onnxruntime\n"
    "  --output FILE           the voxels in MeV, float32, one shower after the other\n";

struct Command {
  std::string graph, noise, output;
  std::vector<double> energies;
  std::map<std::string, double> conditions;
  std::optional<std::uint64_t> seed;
  std::size_t n = 10, threads = 1, batch = 1, sessions = 1;
  bool optimise = true;
};

[[noreturn]] void stop(const std::string& text) {
  std::cerr << "shower: " << text << '\n';
  std::exit(1);
}

double number(const std::string& text, const std::string& option) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') stop(option + " '" + text + "' is not a number");
  return value;
}

std::uint64_t count(const std::string& text, const std::string& option, std::uint64_t least) {
  const double value = number(text, option);
  if (!(value >= static_cast<double>(least) && value < 9e15) || value != std::floor(value))
    stop(option + " '" + text + "' is not a whole number of at least " + std::to_string(least));
  return static_cast<std::uint64_t>(value);
}

Command parsed(const std::vector<std::string>& words) {
  Command command;
  for (std::size_t k = 0; k < words.size(); ++k) {
    const std::string& word = words[k];
    const auto value = [&]() -> const std::string& {
      if (++k == words.size()) stop(word + " needs a value");
      return words[k];
    };
    if (word == "--energy") {
      command.energies.push_back(number(value(), word));
    } else if (word == "--condition") {
      const std::string text = value();
      const auto equals = text.find('=');
      if (equals == std::string::npos) stop("--condition '" + text + "' is not NAME=VALUE");
      command.conditions[text.substr(0, equals)] = number(text.substr(equals + 1), word);
    } else if (word == "-n") {
      command.n = count(value(), word, 1);
    } else if (word == "--seed") {
      command.seed = count(value(), word, 0);
    } else if (word == "--noise") {
      command.noise = value();
    } else if (word == "--threads") {
      command.threads = count(value(), word, 1);
    } else if (word == "--batch") {
      command.batch = count(value(), word, 1);
    } else if (word == "--sessions") {
      command.sessions = count(value(), word, 1);
    } else if (word == "--no-optimisation") {
      command.optimise = false;
    } else if (word == "--output") {
      command.output = value();
    } else if (word == "--help") {
      std::cout << kUsage;
      std::exit(0);
    } else if (word[0] != '-' && command.graph.empty()) {
      command.graph = word;
    } else {
      stop("unknown argument '" + word + "'; --help lists the options");
    }
  }
  if (command.graph.empty() || command.energies.empty()) stop("give an export and --energy; --help lists the options");
  if (command.seed && !command.noise.empty()) stop("give either --seed or --noise");
  return command;
}

// Noise of a shower: a function of the seed and of the number of the shower, whatever thread generates it.
void draw(std::uint64_t seed, std::size_t shower, float* noise, std::size_t size) {
  std::seed_seq words{seed, seed >> 32, static_cast<std::uint64_t>(shower)};
  std::mt19937_64 engine{words};
  std::normal_distribution<float> normal;
  std::generate_n(noise, size, [&] { return normal(engine); });
}

// Noise of all showers, from the file or by the seed, which is chosen if there is none.
std::vector<float> noise_of(Command& command, std::size_t size) {
  std::vector<float> noise;
  if (size == 0 && (command.seed || !command.noise.empty()))
    stop(command.graph + ": the graph draws its noise itself, so --seed and --noise have no effect");
  if (!command.noise.empty()) {
    std::ifstream file{command.noise, std::ios::binary};
    if (!file) stop(command.noise + ": no such file");
    const std::string bytes{std::istreambuf_iterator<char>{file}, {}};
    noise.resize(bytes.size() / sizeof(float));
    std::copy_n(bytes.data(), noise.size() * sizeof(float), reinterpret_cast<char*>(noise.data()));
    if (noise.size() != command.n * size)
      stop(command.noise + ": " + std::to_string(command.n) + " showers take " + std::to_string(command.n * size) +
           " numbers of noise, " + std::to_string(size) + " each, not " + std::to_string(noise.size()));
  } else if (size != 0) {
    if (!command.seed) command.seed = std::random_device{}();
    noise.resize(command.n * size);
    for (std::size_t shower = 0; shower < command.n; ++shower) draw(*command.seed, shower, &noise[shower * size], size);
  }
  return noise;
}

// Memory of this process in MB; 0 where it is not known.
double memory() {
#ifdef __linux__
  std::size_t whole = 0, resident = 0;
  std::ifstream{"/proc/self/statm"} >> whole >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
#else
  return 0;
#endif
}

double milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// What a thread did: time per shower in ms of each call, or an error.
struct Work {
  std::vector<double> times;
  std::string error;
};

}  // namespace

int main(int argc, char** argv) try {
  Command command = parsed({argv + 1, argv + argc});
  const double before = memory();
  const auto begun = Clock::now();
  const auto generator = caloforge::Generator::open(command.graph, {1, command.optimise});
  if (!generator) stop(generator.error());
  const double opening = milliseconds(begun);
  const std::size_t size = generator->noise_size(), n_voxels = generator->n_voxels();
  const std::vector<float> noise = noise_of(command, size);
  std::vector<caloforge::Particle> particles;
  for (std::size_t i = 0; i < command.n; ++i)
    particles.push_back({command.energies[i % command.energies.size()], command.conditions});
  std::vector<float> voxels(command.n * n_voxels);

  // More threads than batches would have nothing to do, and the system gives only so many.
  const std::size_t batches = (command.n + command.batch - 1) / command.batch;
  const std::size_t threads_in_use = std::min({command.threads, batches, std::size_t{1024}});

  // The showers from `first` on of every `threads_in_use`-th batch.
  const auto work = [&](std::size_t thread, Work& done) {
    for (std::size_t first = thread * command.batch; first < command.n; first += threads_in_use * command.batch) {
      const auto last = static_cast<std::ptrdiff_t>(std::min(first + command.batch, command.n));
      const auto at = static_cast<std::ptrdiff_t>(first), wide = static_cast<std::ptrdiff_t>(size);
      const std::vector<caloforge::Particle> asked{particles.begin() + at, particles.begin() + last};
      const std::vector<float> part{noise.begin() + at * wide, noise.begin() + last * wide};
      const auto call = Clock::now();
      const auto found = generator->generate(asked, part);
      done.times.push_back(milliseconds(call) / static_cast<double>(asked.size()));
      if (!found) {
        done.error = found.error();
        return;
      }
      std::copy(found->begin(), found->end(), voxels.begin() + at * static_cast<std::ptrdiff_t>(n_voxels));
    }
  };
  std::vector<Work> done(threads_in_use);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < threads_in_use; ++t) threads.emplace_back(work, t, std::ref(done[t]));
  for (std::thread& thread : threads) thread.join();
  std::vector<double> times;
  for (const Work& each : done) {
    if (!each.error.empty()) stop(command.graph + ": " + each.error);
    times.insert(times.end(), each.times.begin(), each.times.end());
  }

  for (std::size_t i = 0; i < std::min<std::size_t>(command.n, 10); ++i) {
    const float* shower = &voxels[i * n_voxels];
    std::cout << "shower " << i << ": E " << particles[i].energy << " MeV, deposited "
              << std::accumulate(shower, shower + n_voxels, 0.0) << " MeV in "
              << n_voxels - static_cast<std::size_t>(std::count(shower, shower + n_voxels, 0.0f)) << " of "
              << n_voxels << " voxels\n";
  }
  if (command.seed) std::cout << "seed " << *command.seed << '\n';
  std::sort(times.begin(), times.end());
  std::cout << "opened in " << opening << " ms; per shower: median " << times[times.size() / 2] << " ms, fastest "
            << times.front() << " ms\n";
  if (before > 0) {
    const double after = memory(), arrays = static_cast<double>(voxels.size() + noise.size()) * sizeof(float) / 1e6;
    std::cout << "memory of the first session: " << after - before - arrays << " MB";
    std::vector<caloforge::Result<caloforge::Generator>> further;
    while (further.size() + 1 < command.sessions) {
      further.push_back(caloforge::Generator::open(command.graph, {1, command.optimise}));
      if (!further.back()) stop(further.back().error());
      further.back()->generate({particles[0]}, {noise.data(), noise.data() + size});
    }
    if (!further.empty()) std::cout << ", of each further one " << (memory() - after) / further.size() << " MB";
    std::cout << '\n';
  }
  if (!command.output.empty()) {
    std::ofstream file{command.output, std::ios::binary};
    file.write(reinterpret_cast<const char*>(voxels.data()),
               static_cast<std::streamsize>(voxels.size() * sizeof(float)));
    if (!file.flush()) stop(command.output + ": cannot be written");
  }
} catch (const std::bad_alloc&) {
  stop("out of memory");
} catch (const std::exception& error) {
  stop(error.what());
}
