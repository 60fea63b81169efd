// A client of caloforge's exports: `caloforge export RUN --format onnx|par04|calodit2|atlas|atlas-binned -o FILE`.
//
//     auto generator = caloforge::Generator::open("photons.onnx");
//     if (!generator) return std::cerr << generator.error() << '\n', 1;
//     std::vector<float> noise(generator->noise_size());   // from N(0, 1), by whatever engine the program has
//     auto voxels = generator->generate({{4096.0, {}}}, noise);
//
// What a graph takes and gives is read from the card beside it, FILE.json (docs/export.md). Nothing throws, and no
// voxel is ever negative, infinite or not a number: the result is then an error of one line.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace caloforge {

struct Error {
  std::string text;
};

// A T, or the error that there is instead.
template <class T>
class Result {
 public:
  Result(T value) noexcept : content_{std::move(value)} {}
  Result(Error error) noexcept : content_{std::move(error)} {}

  explicit operator bool() const noexcept { return content_.index() == 0; }
  const T& operator*() const noexcept { return *std::get_if<T>(&content_); }
  const T* operator->() const noexcept { return std::get_if<T>(&content_); }
  const std::string& error() const noexcept { return std::get_if<Error>(&content_)->text; }

 private:
  std::variant<T, Error> content_;
};

// What a shower is asked for: the incident energy in MeV, and further conditions of the run by name, in the units of
// the card (rad, mm).
struct Particle {
  double energy;
  std::map<std::string, double> conditions;
};

struct Options {
  int threads = 1;       // of onnxruntime, for one call
  bool optimise = true;  // the graph, when it is opened
};

// One graph in one session of onnxruntime. All threads of a program may share it: `generate` changes nothing.
class Generator {
 public:
  static Result<Generator> open(const std::filesystem::path& graph, const Options& options = {}) noexcept;

  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;
  ~Generator();

  // Numbers of noise that a shower takes; 0 where the graph draws them itself (calodit2).
  std::size_t noise_size() const noexcept;

  // Voxels of a shower, in the order that the card calls `axis_order`.
  std::size_t n_voxels() const noexcept;

  // Voxels in MeV, one shower after the other. `noise` holds noise_size() numbers from N(0, 1) per particle. Energies
  // and conditions outside the range of the training are refused.
  Result<std::vector<float>> generate(const std::vector<Particle>& particles,
                                      const std::vector<float>& noise) const noexcept;

 private:
  struct Session;
  explicit Generator(std::unique_ptr<const Session> session) noexcept;

  std::unique_ptr<const Session> session_;
};

}  // namespace caloforge
