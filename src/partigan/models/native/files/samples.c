
/* Samples from noise, LANES at a time. The arrays are contiguous, all of single precision.
   noise: (samples, partigan_noise(width));
   condition: (samples, partigan_conditions), 0 where there are none;
   number: real particles of each sample, 1 to width, 0 where samples are no clouds;
   width: particles of the arrays, 0 where samples are no clouds;
   weights: the numbers of the network;
   out: (samples, partigan_values(width)), 0 beyond the particles of a sample.
   Returns 0, or 1 where there is no memory. */
long partigan_noise(int n) { (void)n; return @NOISE@; }
long partigan_values(int n) { (void)n; return @MADE@; }
const int partigan_conditions = @CONDITION@;
const int partigan_particles = @PARTICLES@;

int partigan_samples(long samples, int width, const float *noise, const float *condition, const int *number,
                     const float *weights, float *out) {
    vf *work = aligned_alloc(64, ((size_t)(@WORK@) * (@GROUPS@) * sizeof(vf) + 63) / 64 * 64);
    if (!work) return 1;
    const long given = partigan_noise(width), made = partigan_values(width);
    for (long first = 0; first < samples; first += LANES * (@GROUPS@)) {
        const long left = (samples - first + LANES - 1) / LANES;
        const int groups = left < (@GROUPS@) ? (int)left : (@GROUPS@);
        int n = 1;
        long row[LANES * (@GROUPS@)];
        for (int lane = 0; lane < LANES * groups; lane++) {
            row[lane] = first + lane < samples ? first + lane : samples - 1;
            if (number && number[row[lane]] > n) n = number[row[lane]];
        }
        const long drawn = partigan_noise(n), values = partigan_values(n);
        for (int each = 0; each < LANES * groups; each++) {
            vf *lanes = work + each / LANES * (@WORK@);
            const int lane = each % LANES;
            const float *from = noise + row[each] * given;
            for (long i = 0; i < drawn; i++) (lanes + @AT_NOISE@)[i][lane] = from[i];
            for (int i = 0; i < @CONDITION@; i++) (lanes + @AT_CONDITION@)[i][lane] = condition[row[each] * (@CONDITION@) + i];
#if @MASKED@
            for (int i = 0; i < n; i++) (lanes + @AT_MASK@)[i][lane] = i < number[row[each]] ? 1.0f : 0.0f;
#endif
        }
        network(work, weights, n, groups);
        for (int each = 0; each < LANES * groups && first + each < samples; each++) {
            const vf *lanes = work + each / LANES * (@WORK@);
            const int lane = each % LANES;
            float *to = out + row[each] * made;
            for (long i = 0; i < values; i++) to[i] = (lanes + @AT_OUT@)[i][lane];
            memset(to + values, 0, (size_t)(made - values) * sizeof(float));
        }
    }
    free(work);
    return 0;
}
