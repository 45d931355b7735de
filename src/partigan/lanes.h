/* Arithmetic of many samples side by side: each lane of a vector is a sample. C11 with the vector extensions of gcc
   and clang, and libm. Accurate to 1e-6. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define WIDE 8 /* columns of a tile of 3 rows: as many as registers allow */
#elif defined(__AVX__)
#define LANES 8
#define WIDE 4
#else
#define LANES 4
#define WIDE 4
#endif
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 8")

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

INLINE vf all(float x) { return x - (vf){0}; }
INLINE vf pick(vi chosen, vf a, vf b) { return (vf)((chosen & (vi)a) | (~chosen & (vi)b)); }
INLINE vf where(vf chosen, vf a, vf b) { return pick(chosen != 0.0f, a, b); }
INLINE vf truth(vi chosen) { return pick(chosen, all(1.0f), all(0.0f)); }
INLINE vf least(vf a, vf b) { return pick((a < b) | (a != a), a, b); }
INLINE vf most(vf a, vf b) { return pick((a > b) | (a != a), a, b); }
INLINE vf magnitude(vf x) { return (vf)((vi)x & 0x7fffffff); }
INLINE vf signed_as(vf x, vf sign) { return (vf)(((vi)x & 0x7fffffff) | ((vi)sign & (vi)all(-0.0f))); }

/* The smaller or larger of a bound and x; NaN where x is NaN. */
#if defined(__AVX512F__)
INLINE vf lower(vf bound, vf x) { return (vf)_mm512_min_ps((__m512)bound, (__m512)x); }
INLINE vf upper(vf bound, vf x) { return (vf)_mm512_max_ps((__m512)bound, (__m512)x); }
#elif defined(__AVX__)
INLINE vf lower(vf bound, vf x) { return (vf)_mm256_min_ps((__m256)bound, (__m256)x); }
INLINE vf upper(vf bound, vf x) { return (vf)_mm256_max_ps((__m256)bound, (__m256)x); }
#else
INLINE vf lower(vf bound, vf x) { return pick(bound < x, bound, x); }
INLINE vf upper(vf bound, vf x) { return pick(bound > x, bound, x); }
#endif

#define EACH(NAME, CALL) \
    INLINE vf NAME(vf x) { UNROLL for (int lane = 0; lane < LANES; lane++) x[lane] = CALL(x[lane]); return x; }
EACH(v_sqrt, sqrtf)
EACH(v_sin, sinf)
EACH(v_cos, cosf)
EACH(v_log1p, log1pf)
EACH(v_expm1, expm1f)
EACH(v_asinh, asinhf)
EACH(v_floor, floorf)
EACH(v_rint, rintf)
INLINE vf v_atan2(vf y, vf x) {
    for (int lane = 0; lane < LANES; lane++) y[lane] = atan2f(y[lane], x[lane]);
    return y;
}
INLINE vf v_pow(vf x, vf y) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = powf(x[lane], y[lane]);
    return x;
}

/* 2^k exp(r) with |r| <= ln(2) / 2; exp(r) by a polynomial fitted to 2e-9. 2^k in two steps: it may be too small or
   too large for one. */
INLINE vf v_exp(vf x) {
    vf within = lower(all(89.5f), upper(all(-105.0f), x));
    vf k = (within * 1.44269504f + 12582912.0f) - 12582912.0f;
    vf r = (within - k * 0.693359375f) + k * 2.12194440e-4f;
    vf p = r * 1.38357852e-3f + 8.37564468e-3f;
    p = p * r + 4.16682884e-2f;
    p = p * r + 0.166664108f;
    p = p * r + 0.49999991f;
    p = p * r * r + r + 1.0f;
    vi power = __builtin_convertvector(k, vi), half = power >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((power - half + 127) << 23);
}

/* k ln(2) + ln(m) with m in [sqrt(1/2), sqrt(2)); ln(m) = 2 artanh((m - 1) / (m + 1)) by its series. */
INLINE vf v_log(vf x) {
    vf scaled = pick(x < 1.17549435e-38f, x * 8388608.0f, x);
    vi bits = (vi)scaled - 0x3f3504f3;
    vf k = __builtin_convertvector(bits >> 23, vf) - pick(x < 1.17549435e-38f, all(23.0f), all(0.0f));
    vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
    vf s = (m - 1.0f) / (m + 1.0f), t = s * s;
    vf p = (((t * 0.222222222f + 0.285714286f) * t + 0.4f) * t + 0.666666667f) * t + 2.0f;
    vf found = k * 0.693359375f + (s * p - k * 2.12194440e-4f);
    found = pick(x == 0.0f, all(-INFINITY), pick(x == INFINITY, x, found));
    return pick((x < 0.0f) | (x != x), all(NAN), found);
}

/* x P(x^2) / Q(x^2), constant beyond the end; fitted to 3e-7. */
INLINE vf v_erf(vf x) {
    vf y = lower(all(3.85f), upper(all(-3.85f), x)), t = y * y;
    vf p = (((t * 2.84614984e-4f + 7.89562427e-3f) * t + 6.5252237e-2f) * t + 0.299160779f) * t + 1.12837887f;
    vf q = t * 1.68276456e-5f + 1.98890781e-3f;
    q = (((q * t + 2.33410168e-2f) * t + 0.157347441f) * t + 0.598450601f) * t + 1.0f;
    return lower(all(1.0f), upper(all(-1.0f), y * p / q));
}

/* x P(x^2) / Q(x^2), constant beyond the end; fitted to 2e-8. */
INLINE vf v_tanh(vf x) {
    vf y = lower(all(8.7f), upper(all(-8.7f), x)), t = y * y;
    vf p = (((t * 1.38988678e-8f + 2.09948539e-5f) * t + 3.51881166e-3f) * t + 0.134005249f) * t + 1.0f;
    vf q = (((t * 7.99707152e-7f + 3.32375464e-4f) * t + 2.59651579e-2f) * t + 0.467338473f) * t + 1.0f;
    return lower(all(1.0f), upper(all(-1.0f), y * p / q));
}

INLINE vf v_gelu(vf x) { return 0.5f * x * (1.0f + v_erf(x * 0.707106781f)); }
INLINE vf v_sigmoid(vf x) { return 1.0f / (1.0f + v_exp(-x)); }
INLINE vf v_softplus(vf x) { return most(x, all(0.0f)) + v_log1p(v_exp(-magnitude(x))); }
INLINE vf v_sign(vf x) { return truth(x > 0.0f) - truth(x < 0.0f); }

/* How many of the rising knots lie below x, or, if right, not above it. */
static __attribute__((unused)) float below(const float *knots, int step, int count, int right, float x) {
    int low = 0;
    while (low < count) {
        const int middle = (low + count) / 2;
        const float knot = knots[middle * step];
        if (knot < x || (right && knot == x)) low = middle + 1;
        else count = middle;
    }
    return (float)low;
}

/* out[r][c] = start[r][c] + sum_k a[r][k] b[k][c] for a tile of ROWS x COLUMNS that fits into the registers; b is of
   samples (vf) or the same for all (float), as start is. A step is a stride in r, c or k. */
#define TILE(NAME, B, START) \
    INLINE void NAME(int rows, int columns, int terms, vf *out, int out_r, int out_c, const vf *a, int a_r, int a_k, \
                     const B *b, int b_k, int b_c, const START *start, int start_r, int start_c) { \
        vf sum[4][8]; \
        UNROLL for (int r = 0; r < rows; r++) \
            UNROLL for (int c = 0; c < columns; c++) \
                sum[r][c] = start ? start[r * start_r + c * start_c] + (vf){0} : (vf){0}; \
        for (int k = 0; k < terms; k++) \
            UNROLL for (int c = 0; c < columns; c++) { \
                vf weight = b[k * b_k + c * b_c] + (vf){0}; \
                UNROLL for (int r = 0; r < rows; r++) sum[r][c] += a[r * a_r + k * a_k] * weight; \
            } \
        UNROLL for (int r = 0; r < rows; r++) \
            UNROLL for (int c = 0; c < columns; c++) out[r * out_r + c * out_c] = sum[r][c]; \
    }
#define BAND(NAME, TILE_OF, B, START) \
    INLINE void NAME(int rows, int columns, int terms, vf *out, int out_r, int out_c, const vf *a, int a_r, int a_k, \
                     const B *b, int b_k, int b_c, const START *start, int start_r, int start_c) { \
        int c = 0; \
        const int wide = rows == 1 ? 8 : WIDE; \
        for (; c + wide <= columns; c += wide) \
            TILE_OF(rows, wide, terms, out + c * out_c, out_r, out_c, a, a_r, a_k, b + c * b_c, b_k, b_c, \
                    start ? start + c * start_c : 0, start_r, start_c); \
        for (; c < columns; c++) \
            TILE_OF(rows, 1, terms, out + c * out_c, out_r, out_c, a, a_r, a_k, b + c * b_c, b_k, b_c, \
                    start ? start + c * start_c : 0, start_r, start_c); \
    }
#define PRODUCT(NAME, BAND_OF, B, START) \
    INLINE void NAME(int rows, int columns, int terms, vf *out, int out_r, int out_c, const vf *a, int a_r, int a_k, \
                     const B *b, int b_k, int b_c, const START *start, int start_r, int start_c) { \
        int r = 0; \
        for (; r + 3 <= rows; r += 3) \
            BAND_OF(3, columns, terms, out + r * out_r, out_r, out_c, a + r * a_r, a_r, a_k, b, b_k, b_c, \
                    start ? start + r * start_r : 0, start_r, start_c); \
        for (; r < rows; r++) \
            BAND_OF(1, columns, terms, out + r * out_r, out_r, out_c, a + r * a_r, a_r, a_k, b, b_k, b_c, \
                    start ? start + r * start_r : 0, start_r, start_c); \
    }
#define MULTIPLY(NAME, B, START) \
    TILE(NAME##_tile, B, START) BAND(NAME##_band, NAME##_tile, B, START) PRODUCT(NAME, NAME##_band, B, START)
MULTIPLY(multiply_ff, float, float)
MULTIPLY(multiply_fv, float, vf)
MULTIPLY(multiply_vf, vf, float)
MULTIPLY(multiply_vv, vf, vf)

/* Softmax along j, of many neighbours m at a time, so that none waits for another. */
INLINE void softmax_tile(int many, int count, vf *out, int out_m, int out_j, const vf *x, int x_m, int x_j) {
    vf top[4], sum[4];
    UNROLL for (int m = 0; m < many; m++) top[m] = all(-INFINITY), sum[m] = all(0.0f);
    for (int j = 0; j < count; j++)
        UNROLL for (int m = 0; m < many; m++) top[m] = upper(top[m], x[m * x_m + j * x_j]);
    for (int j = 0; j < count; j++)
        UNROLL for (int m = 0; m < many; m++) {
            vf found = v_exp(x[m * x_m + j * x_j] - top[m]);
            sum[m] += found, out[m * out_m + j * out_j] = found;
        }
    UNROLL for (int m = 0; m < many; m++) sum[m] = 1.0f / sum[m];
    for (int j = 0; j < count; j++)
        UNROLL for (int m = 0; m < many; m++) out[m * out_m + j * out_j] *= sum[m];
}
INLINE void softmax(int many, int count, vf *out, int out_m, int out_j, const vf *x, int x_m, int x_j) {
    int m = 0;
    for (; m + 4 <= many; m += 4) softmax_tile(4, count, out + m * out_m, out_m, out_j, x + m * x_m, x_m, x_j);
    for (; m < many; m++) softmax_tile(1, count, out + m * out_m, out_m, out_j, x + m * x_m, x_m, x_j);
}
