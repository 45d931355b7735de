
/* Noise: value i of sample s is the same for any call. Philox4x32-10 (J. Salmon et al., SC'11, doi 10.1145/2063384.2063405)
   with the counter (i / 4, 0, s, s >> 32) and the key (seed, seed >> 32) gives four uniform numbers, two pairs for the
   method of Box and Muller. */
static void philox(uint32_t x[4], uint64_t seed) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ x[1] ^ key[0], (uint32_t)b, (uint32_t)(a >> 32) ^ x[3] ^ key[1], (uint32_t)a};
        memcpy(x, next, sizeof(next));
        key[0] += 0x9E3779B9u, key[1] += 0xBB67AE85u;
    }
}

void partigan_draw(uint64_t seed, uint64_t first, long samples, int width, float *noise) {
    const long values = partigan_noise(width);
    for (long s = 0; s < samples; s++)
        for (long i = 0; i < values; i += 4) {
            const uint64_t sample = first + (uint64_t)s;
            uint32_t x[4] = {(uint32_t)(i / 4), 0, (uint32_t)sample, (uint32_t)(sample >> 32)};
            philox(x, seed);
            for (int pair = 0; pair < 2; pair++) {
                const double radius = sqrt(-2 * log((x[2 * pair] + 1.0) / 4294967296.0));
                const double phase = 6.283185307179586 * (x[2 * pair + 1] / 4294967296.0);
                const double normal[2] = {radius * cos(phase), radius * sin(phase)};
                for (int each = 0; each < 2 && i + 2 * pair + each < values; each++)
                    noise[s * values + i + 2 * pair + each] = (float)(@MEAN@ + @DEVIATION@ * normal[each]);
            }
        }
}

int partigan_generate(long samples, int width, const float *noise, const float *condition, const int *number, float *out) {
    return partigan_samples(samples, width, noise, condition, number, numbers, out);
}
