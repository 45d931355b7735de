/* Makes the samples of test_vector.h and compares them with those of torch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "generator.h"
#include "test_vector.h"

int main(void) {
    const long values = partigan_values(WIDTH);
    float *made = malloc(SAMPLES * values * sizeof(float)), *drawn = malloc(SAMPLES * partigan_noise(WIDTH) * sizeof(float));
    if (!made || !drawn || partigan_generate(SAMPLES, WIDTH, noise, condition, number, made)) return 2;
    double worst = 0, largest = 0;
    for (long i = 0; i < SAMPLES * values; i++) {
        largest = fmax(largest, fabs(expected[i]));
        worst = fmax(worst, fabs(made[i] - expected[i]));
    }
    printf("%d samples of %ld values: largest difference from torch %.2g of %.3g\n", SAMPLES, values, worst, largest);
    partigan_draw(1, 0, SAMPLES, WIDTH, drawn);
    printf("noise of seed 1 begins with %.6f %.6f %.6f\n", drawn[0], drawn[1], drawn[2]);
    if (partigan_generate(SAMPLES, WIDTH, drawn, condition, number, made)) return 2;
    printf("and its first sample with");
    for (long i = 0; i < values && i < 6; i++) printf(" %.6g", made[i]);
    printf("\n");
    free(made), free(drawn);
    return worst <= 1e-4 * largest ? 0 : 1;
}
