// JSON as far as the cards of exports need it: reading, and looking things up. Errors are std::runtime_error.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace caloforge {

// A value. What is looked up must be there, and of the type that is expected.
struct Json {
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value;

  bool operator==(const Json& other) const { return value == other.value; }

  template <class T>
  const T& as() const {
    if (const T* found = std::get_if<T>(&value)) return *found;
    throw std::runtime_error("an entry of its card is of another type than expected");
  }

  // Null if there is no such key.
  const Json* find(std::string_view key) const {
    for (const auto& [name, item] : as<Object>())
      if (name == key) return &item;
    return nullptr;
  }

  const Json& operator[](std::string_view key) const {
    if (const Json* found = find(key)) return *found;
    throw std::runtime_error("its card has no '" + std::string(key) + "'");
  }

  const Json& at(std::size_t index) const {
    const Array& items = as<Array>();
    return index < items.size() ? items[index] : throw std::runtime_error("a list of its card is too short");
  }

  double number(std::string_view key) const { return (*this)[key].as<double>(); }
  const std::string& text(std::string_view key) const { return (*this)[key].as<std::string>(); }
  const Array& array(std::string_view key) const { return (*this)[key].as<Array>(); }
};

class JsonReader {
 public:
  // The value that the text consists of.
  static Json read(const std::string& text) {
    JsonReader reader{text};
    Json found = reader.value(0);
    if (reader.next(); reader.at_ != text.size()) reader.fail();
    return found;
  }

 private:
  explicit JsonReader(const std::string& text) : text_{text} {}

  [[noreturn]] void fail() const { throw std::runtime_error("its card is not valid JSON at character " + std::to_string(at_)); }

  char next() {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(std::string_view word) {
    next();
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }

  void expect(std::string_view word) {
    if (!take(word)) fail();
  }

  Json value(int depth) {
    if (depth > 50) fail();
    switch (next()) {
      case '{': return {items<Json::Object>("{", "}", [&] {
        std::string key = string();
        expect(":");
        return std::pair{std::move(key), value(depth + 1)};
      })};
      case '[': return {items<Json::Array>("[", "]", [&] { return value(depth + 1); })};
      case '"': return {string()};
      case 't': expect("true"); return {true};
      case 'f': expect("false"); return {false};
      case 'n': expect("null"); return {nullptr};
      default: return {number()};
    }
  }

  template <class Container, class Item>
  Container items(std::string_view open, std::string_view close, Item item) {
    Container found;
    expect(open);
    if (take(close)) return found;
    do {
      found.push_back(item());
    } while (take(","));
    expect(close);
    return found;
  }

  double number() {
    const std::size_t end = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size());
    std::istringstream digits{text_.substr(at_, end - at_)};
    digits.imbue(std::locale::classic());  // a decimal point whatever the program's locale
    double found = 0;
    if (!(digits >> found) || digits.peek() != EOF) fail();
    at_ = end;
    return found;
  }

  std::string string() {
    expect("\"");
    std::string found;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') {
        found += text_[at_];
      } else if (++at_ < text_.size()) {
        constexpr std::string_view letters = "bfnrt", meanings = "\b\f\n\r\t";
        const auto k = letters.find(text_[at_]);
        if (text_[at_] == 'u') found += '\\';  // \u… stays as it is written
        found += k == letters.npos ? text_[at_] : meanings[k];
      }
    }
    expect("\"");
    return found;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace caloforge
