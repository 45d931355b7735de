// Makes the samples of test_vector.h with ONNX Runtime and compares them with those of torch.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "test_vector.h"

int main(int count, char **arguments) {
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "partigan");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);  // one session for a job, one thread for a session
    Ort::Session session(environment, count > 1 ? arguments[1] : "generator.onnx", options);

    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto tensor = [&memory](auto *values, const std::vector<int64_t> &shape) {
        size_t size = 1;
        for (const int64_t each : shape) size *= static_cast<size_t>(each);
        return Ort::Value::CreateTensor(memory, values, size, shape.data(), shape.size());
    };
    std::vector<const char *> names;
    std::vector<Ort::Value> inputs;
    names.push_back("noise");
    inputs.push_back(tensor(const_cast<float *>(noise), NOISE_SHAPE));
#ifdef CONDITION_SHAPE
    names.push_back("condition");
    inputs.push_back(tensor(const_cast<CONDITION *>(condition), CONDITION_SHAPE));
#endif
#if WIDTH > 0  // particles of the arrays; true = a real particle, false = padding
    std::unique_ptr<bool[]> mask(new bool[SAMPLES * WIDTH]);
    for (int i = 0; i < SAMPLES * WIDTH; i++) mask[i] = i % WIDTH < number[i / WIDTH];
    names.push_back("mask");
    inputs.push_back(tensor(mask.get(), {SAMPLES, WIDTH}));
#endif
    const char *output = "sample";
    auto made = session.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), inputs.size(), &output, 1);

    const float *values = made[0].GetTensorData<float>();
    const size_t size = made[0].GetTensorTypeAndShapeInfo().GetElementCount();
    if (size != sizeof(expected) / sizeof(float)) return 2;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < size; i++) {
        largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
        worst = std::max(worst, std::fabs(static_cast<double>(values[i]) - expected[i]));
    }
    std::printf("%d samples: largest difference from torch %.2g of %.3g\n", SAMPLES, worst, largest);
    return worst <= 1e-3 * largest ? 0 : 1;
}
