// The part of onnxruntime's C API that generator.cpp uses, for a library without headers such as that of the Python
// wheel. CMakeLists.txt takes the headers of an onnxruntime release wherever it finds them, and this file otherwise.
//
// The API is a table of functions whose order never changes once it is released: all below are of version 1 (up to
// ReleaseCustomOpDomain at index 101) or 2. `Unused<N>` leaves room for N functions in between, and the assertions
// below check the indices.
#pragma once

#include <cstddef>
#include <cstdint>

#define ORT_API_VERSION 11

#ifdef _WIN32
#define ORT_API_CALL __stdcall
#define ORTCHAR_T wchar_t
#else
#define ORT_API_CALL
#define ORTCHAR_T char
#endif

struct OrtEnv;
struct OrtStatus;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtValue;
struct OrtRunOptions;
struct OrtSessionOptions;
struct OrtModelMetadata;
struct OrtAllocator;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_ERROR = 3 };
enum GraphOptimizationLevel { ORT_DISABLE_ALL = 0, ORT_ENABLE_ALL = 99 };
enum OrtAllocatorType { OrtDeviceAllocator = 0 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };

struct OrtApi {
  template <int N>
  using Unused = void (*[N])();
  template <class... Arguments>
  using Function = OrtStatus*(ORT_API_CALL*)(Arguments...);
  template <class T>
  using Release = void(ORT_API_CALL*)(T*);

  Unused<2> unused_0;
  const char*(ORT_API_CALL* GetErrorMessage)(const OrtStatus*);
  Function<OrtLoggingLevel, const char*, OrtEnv**> CreateEnv;
  Unused<3> unused_4;
  Function<const OrtEnv*, const ORTCHAR_T*, const OrtSessionOptions*, OrtSession**> CreateSession;
  Unused<1> unused_8;
  Function<OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, std::size_t,
           const char* const*, std::size_t, OrtValue**>
      Run;
  Function<OrtSessionOptions**> CreateSessionOptions;
  Unused<12> unused_11;
  Function<OrtSessionOptions*, GraphOptimizationLevel> SetSessionGraphOptimizationLevel;
  Function<OrtSessionOptions*, int> SetIntraOpNumThreads;
  Function<OrtSessionOptions*, int> SetInterOpNumThreads;
  Unused<23> unused_26;
  Function<const OrtMemoryInfo*, void*, std::size_t, const std::int64_t*, std::size_t, ONNXTensorElementDataType,
           OrtValue**>
      CreateTensorWithDataAsOrtValue;
  Unused<19> unused_50;
  Function<OrtAllocatorType, OrtMemType, OrtMemoryInfo**> CreateCpuMemoryInfo;
  Unused<6> unused_70;
  Function<OrtAllocator*, void*> AllocatorFree;
  Unused<1> unused_77;
  Function<OrtAllocator**> GetAllocatorWithDefaultOptions;
  Unused<13> unused_79;
  Release<OrtEnv> ReleaseEnv;
  Release<OrtStatus> ReleaseStatus;
  Release<OrtMemoryInfo> ReleaseMemoryInfo;
  Release<OrtSession> ReleaseSession;
  Release<OrtValue> ReleaseValue;
  Unused<3> unused_97;
  Release<OrtSessionOptions> ReleaseSessionOptions;
  Unused<10> unused_101;
  Function<const OrtSession*, OrtModelMetadata**> SessionGetModelMetadata;
  Unused<4> unused_112;
  Function<const OrtModelMetadata*, OrtAllocator*, const char*, char**> ModelMetadataLookupCustomMetadataMap;
  Unused<1> unused_117;
  Release<OrtModelMetadata> ReleaseModelMetadata;
};

#define CALOFORGE_INDEX(FUNCTION, INDEX) static_assert(offsetof(OrtApi, FUNCTION) == (INDEX) * sizeof(void*))
CALOFORGE_INDEX(GetErrorMessage, 2);
CALOFORGE_INDEX(CreateSession, 7);
CALOFORGE_INDEX(Run, 9);
CALOFORGE_INDEX(SetSessionGraphOptimizationLevel, 23);
CALOFORGE_INDEX(CreateTensorWithDataAsOrtValue, 49);
CALOFORGE_INDEX(CreateCpuMemoryInfo, 69);
CALOFORGE_INDEX(AllocatorFree, 76);
CALOFORGE_INDEX(GetAllocatorWithDefaultOptions, 78);
CALOFORGE_INDEX(ReleaseEnv, 92);
CALOFORGE_INDEX(ReleaseSessionOptions, 100);
CALOFORGE_INDEX(SessionGetModelMetadata, 111);
CALOFORGE_INDEX(ModelMetadataLookupCustomMetadataMap, 116);
CALOFORGE_INDEX(ReleaseModelMetadata, 118);
#undef CALOFORGE_INDEX

struct OrtApiBase {
  const OrtApi*(ORT_API_CALL* GetApi)(std::uint32_t version);
  const char*(ORT_API_CALL* GetVersionString)();
};

extern "C" const OrtApiBase* ORT_API_CALL OrtGetApiBase();
