/* A generator of samples, made by partigan. C11 with the vector extensions of gcc and clang, and libm; thread-safe. */
#ifndef PARTIGAN_GENERATOR_H
#define PARTIGAN_GENERATOR_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

extern const int partigan_conditions; /* conditions of a sample */
extern const int partigan_particles;  /* particles of the largest cloud, 0 where samples are no clouds */
long partigan_noise(int width);       /* noise of a sample, in arrays for clouds of width particles */
long partigan_values(int width);      /* values of a sample, in the same */

/* Fill noise, (samples, partigan_noise(width)). Value i of sample first + s depends on seed, s and i alone. */
void partigan_draw(uint64_t seed, uint64_t first, long samples, int width, float *noise);

/* Make samples in physical units: out, (samples, partigan_values(width)), 0 beyond the particles of a sample.
   condition: (samples, partigan_conditions), 0 where there are none;
   number: real particles of each sample, 1 to width, 0 where samples are no clouds; width is 0 there, too.
   Returns 0, or 1 where there is not enough memory. */
int partigan_generate(long samples, int width, const float *noise, const float *condition, const int *number,
                      float *out);

#ifdef __cplusplus
}
#endif
#endif
