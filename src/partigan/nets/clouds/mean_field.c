/* A chain of mean-field blocks, forwards and backwards, as mean_field.py writes them with torch. It follows lanes.h and
   definitions of the sizes LATENT, HIDDEN and HEADS, and of the kind of chain: OF_PARTICLES is 1 for GELU with residual
   connections between particles, 0 for LeakyReLU with those between mean fields. A vector holds latent or hidden
   dimensions of one particle; what a block needs of a jet stays in the nearest cache. */

enum { D = LATENT, L = LATENT / LANES, N = HIDDEN / LANES, H = HEADS, DEPTH = HIDDEN / HEADS };

#if HEADS % LANES == 0 /* a vector of heads */
typedef vf vh;
#elif HEADS % 8 == 0
typedef float vh __attribute__((vector_size(32)));
#else
typedef float vh __attribute__((vector_size(16)));
#endif
typedef __typeof__((vh){0} > (vh){0}) vhi;
enum { WIDE_HEADS = sizeof(vh) / sizeof(float), VH = (H + WIDE_HEADS - 1) / WIDE_HEADS };

typedef struct {
    vf lift[D][N], lift_bias[N], query[HIDDEN][N], query_bias[N], key[HIDDEN][L], value[HIDDEN][L];
    vf lower[HIDDEN][L], lower_bias[L], multiplicity[L], shift[D][L], shift_bias[L], update[D][L];
} Weights;

/* What the way back needs of a jet's mean field in a block. */
typedef struct {
    vf active[L], slope[L], normal[N], query[N], probe[H][L], pooled[H][L], values[N], change[L];
    float scale[16];
} Field;

#define FOR(i, n) UNROLL for (int i = 0; i < (n); i++)
#define EVERY(i, n) _Pragma("GCC unroll 1") for (int i = 0; i < (n); i++)
#define AT(vectors, i) (((const float *)(vectors))[i])

/* y += a x, vectors of n. */
INLINE void add(vf *y, float a, const vf *x, int n) { FOR(i, n) y[i] += a * x[i]; }

INLINE float dot(const vf *a, const vf *b, int n) {
    vf sum = a[0] * b[0];
    for (int i = 1; i < n; i++) sum += a[i] * b[i];
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)sum);
#else
    float total = 0;
    FOR(lane, LANES) total += sum[lane];
    return total;
#endif
}

/* y = start + a W, with rows of W for each of the numbers a. */
INLINE void map(vf *y, const vf *start, const float *a, const vf *w, int rows, int n) {
    vf sum[n];
    FOR(i, n) sum[i] = start[i];
    _Pragma("GCC unroll 4") for (int k = 0; k < rows; k++) add(sum, a[k], w + k * n, n);
    FOR(i, n) y[i] = sum[i];
}

INLINE void activate(vf x, vf *active, vf *slope) {
#if OF_PARTICLES
    const vf below = 0.5f + 0.5f * v_erf(x * 0.707106781f);
    *active = x * below;
    *slope = below + x * 0.398942280f * v_exp(-0.5f * x * x);
#else
    *slope = pick(x > 0.0f, all(1.0f), all(0.01f));
    *active = x * *slope;
#endif
}

/* Vectors (H, L) of floats with the heads last, so that a vector holds the heads. */
INLINE void turn(vh (*to)[VH], const vf (*from)[L]) {
    float *flat = (float *)to;
    memset(to, 0, D * VH * sizeof(vh));
    FOR(h, H) for (int k = 0; k < D; k++) flat[k * VH * WIDE_HEADS + h] = AT(from[h], k);
}

/* Shares of attention of the particles of a jet. */
INLINE void attend(int particles, const unsigned char *real, const vf (*active)[L], const vf (*probe)[L],
                   vh (*share)[VH]) {
    vh turned[D][VH], top[VH], total[VH];
    turn(turned, probe);
    FOR(i, VH) top[i] = (vh){0} - INFINITY, total[i] = (vh){0};
    EVERY(p, particles) {
        vh score[VH];
        FOR(i, VH) score[i] = (vh){0};
        FOR(k, D) FOR(i, VH) score[i] += AT(active[p], k) * turned[k][i];
        FOR(i, VH) {
            share[p][i] = real[p] ? score[i] : (vh){0} - INFINITY;
            const vhi more = share[p][i] > top[i];
            top[i] = (vh)((more & (vhi)share[p][i]) | (~more & (vhi)top[i]));
        }
    }
    EVERY(p, particles) FOR(i, VH) share[p][i] -= top[i];
    float *flat = (float *)share;
    for (int i = 0; i < particles * VH * WIDE_HEADS; i += LANES) { /* the end is padded */
        vf v;
        memcpy(&v, flat + i, sizeof v);
        v = v_exp(v);
        memcpy(flat + i, &v, sizeof v);
    }
    EVERY(p, particles) FOR(i, VH) total[i] += real[p] ? share[p][i] : (vh){0};
    FOR(i, VH) total[i] = 1.0f / total[i];
    EVERY(p, particles) FOR(i, VH) share[p][i] = real[p] ? share[p][i] * total[i] : (vh){0};
}

/* One block of one jet. x: its particles, field: its mean field; both are overwritten. */
INLINE void block(const Weights *w, int particles, const unsigned char *real, float multiplicity, vf (*x)[L], vf *field,
                  vf (*active)[L], vf (*slope)[L], vh (*share)[VH], Field *kept) {
    vf lifted[N], shift[L], pooled[H][L];
    EVERY(p, particles) FOR(l, L) activate(x[p][l], &active[p][l], &slope[p][l]);
    FOR(l, L) activate(field[l], &kept->active[l], &kept->slope[l]);
    map(lifted, w->lift_bias, (float *)kept->active, w->lift[0], D, N);
    kept->scale[0] = 1.0f / sqrtf(dot(lifted, lifted, N) / HIDDEN + 1e-5f);
    FOR(n, N) kept->normal[n] = lifted[n] * kept->scale[0];
    map(kept->query, w->query_bias, (float *)kept->normal, w->query[0], HIDDEN, N);
    FOR(h, H) {
        FOR(l, L) kept->probe[h][l] = pooled[h][l] = all(0.0f);
        map(kept->probe[h], kept->probe[h], (float *)kept->query + h * DEPTH, w->key[h * DEPTH], DEPTH, L);
    }
    attend(particles, real, (const vf(*)[L])active, (const vf(*)[L])kept->probe, share);
    EVERY(p, particles) FOR(h, H) add(pooled[h], AT(share[p], h), active[p], L);
    FOR(h, H) FOR(l, L) kept->pooled[h][l] = pooled[h][l];
    EVERY(n, HIDDEN) ((float *)kept->values)[n] = dot(w->value[n], kept->pooled[n / DEPTH], L);
    FOR(l, L) kept->change[l] = w->lower_bias[l] + multiplicity * w->multiplicity[l];
    map(kept->change, kept->change, (float *)kept->values, w->lower[0], HIDDEN, L);
    map(shift, w->shift_bias, (float *)kept->change, w->shift[0], D, L);
    EVERY(p, particles) {
        vf new[L];
        FOR(l, L) new[l] = OF_PARTICLES ? x[p][l] + shift[l] : shift[l];
        FOR(k, D) add(new, AT(active[p], k), w->update[k], L);
        FOR(l, L) x[p][l] = new[l];
    }
    FOR(l, L) field[l] = OF_PARTICLES ? kept->change[l] : field[l] + kept->change[l];
}

/* One block of one jet backwards. x, field: slopes of the loss, overwritten by those of the block's input; g: those of
   the weights, added to; turned_update: the update with its rows as columns; work: (particles, L). */
INLINE void back(const Weights *w, Weights *g, const vf (*turned_update)[L], int particles, const unsigned char *real,
                 float multiplicity, vf (*x)[L], vf *field, const vf (*active)[L], const vf (*slope)[L],
                 const vh (*share)[VH], const Field *kept, vf (*work)[L]) {
    vf shift[L], change[L], values[N], pooled[H][L], probe[H][L], query[N], normal[N], own[L], update[D][L];
    vh turned[D][VH], mean[VH];
    memset(mean, 0, sizeof mean);
    memset(update, 0, sizeof update);
    FOR(l, L) shift[l] = all(0.0f);
    EVERY(p, particles) if (real[p]) FOR(l, L) shift[l] += x[p][l];
    FOR(l, L) g->shift_bias[l] += shift[l], change[l] = field[l];
    FOR(k, D) {
        ((float *)change)[k] += dot(w->shift[k], shift, L);
        add(g->shift[k], AT(kept->change, k), shift, L);
    }
    FOR(l, L) g->lower_bias[l] += change[l], g->multiplicity[l] += multiplicity * change[l];
    EVERY(h, H) {
        FOR(l, L) pooled[h][l] = probe[h][l] = all(0.0f);
        for (int n = h * DEPTH; n < (h + 1) * DEPTH; n++) {
            const float value = ((float *)values)[n] = dot(w->lower[n], change, L);
            add(g->lower[n], AT(kept->values, n), change, L);
            add(pooled[h], value, w->value[n], L);
            add(g->value[n], value, kept->pooled[h], L);
        }
        ((float *)mean)[h] = dot(pooled[h], kept->pooled[h], L);
    }
    turn(turned, (const vf(*)[L])pooled);
    EVERY(p, particles) if (real[p]) {
        vh slopes[VH];
        vf given[L];
        FOR(i, VH) slopes[i] = -mean[i];
        FOR(k, D) FOR(i, VH) slopes[i] += AT(active[p], k) * turned[k][i];
        FOR(i, VH) slopes[i] *= share[p][i];
        FOR(l, L) given[l] = all(0.0f);
        FOR(k, D) add(given, AT(x[p], k), turned_update[k], L);
        FOR(h, H) {
            add(given, AT(share[p], h), pooled[h], L);
            add(given, AT(slopes, h), kept->probe[h], L);
            add(probe[h], AT(slopes, h), active[p], L);
        }
        FOR(l, L) work[p][l] = given[l];
    }
    EVERY(p, particles) if (real[p]) FOR(k, D) add(update[k], AT(active[p], k), x[p], L);
    FOR(k, D) add(g->update[k], 1.0f, update[k], L);
    EVERY(p, particles) FOR(l, L) {
        const vf below = slope[p][l] * work[p][l];
        x[p][l] = real[p] ? (OF_PARTICLES ? x[p][l] + below : below) : all(0.0f);
    }
    EVERY(n, HIDDEN) {
        ((float *)query)[n] = dot(w->key[n], probe[n / DEPTH], L);
        add(g->key[n], AT(kept->query, n), probe[n / DEPTH], L);
    }
    FOR(n, N) g->query_bias[n] += query[n];
    EVERY(k, HIDDEN) {
        ((float *)normal)[k] = dot(w->query[k], query, N);
        add(g->query[k], AT(kept->normal, k), query, N);
    }
    const float along = dot(normal, kept->normal, N) / HIDDEN;
    FOR(n, N) {
        normal[n] = kept->scale[0] * (normal[n] - along * kept->normal[n]);
        g->lift_bias[n] += normal[n];
    }
    FOR(k, D) {
        ((float *)own)[k] = dot(w->lift[k], normal, N);
        add(g->lift[k], AT(kept->active, k), normal, N);
    }
    FOR(l, L) field[l] = OF_PARTICLES ? kept->slope[l] * own[l] : field[l] + kept->slope[l] * own[l];
}

typedef struct { /* where a block keeps what the way back needs of a jet */
    vf (*active)[L], (*slope)[L];
    vh (*share)[VH];
    Field *field;
} Kept;

INLINE long shares(int particles) { return ((long)particles * VH * WIDE_HEADS + 15) / 16 * 16; }

/* Numbers that are kept of a jet in a block. */
long kept_numbers(int particles) {
    return 2L * particles * D + shares(particles) + (long)(sizeof(Field) / sizeof(float));
}

INLINE Kept kept_at(float *kept, int particles) {
    float *slope = kept + (long)particles * D, *share = slope + (long)particles * D;
    return (Kept){(void *)kept, (void *)slope, (void *)share, (void *)(share + shares(particles))};
}

/* Parameters of a block as torch has them, and slopes of the loss in them: matrices (out, in). */
typedef struct {
    float *lift, *lift_bias, *norm, *norm_bias, *query, *query_bias, *key, *value, *value_bias, *merge, *merge_bias;
    float *lower, *lower_bias, *update, *update_bias;
} Parameters;

enum { M = HIDDEN, BELOW = M + 1, BESIDE = M + D }; /* rows of lower and update */
#define SCALE (1.0f / sqrtf(DEPTH))
#define ROW(matrix, i, width) ((matrix) + (long)(i) * (width))
#define SCALED(y, a, x, n) for (int i_ = 0; i_ < (n); i_++) (y)[i_] += (a) * (x)[i_]

INLINE float inner(const float *a, const float *b, int step, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[(long)i * step];
    return sum;
}

/* The maps of a block, folded. */
static void fold(const Parameters *p, Weights *to) {
    float (*lift)[M] = (void *)to->lift, (*query)[M] = (void *)to->query, (*key)[D] = (void *)to->key;
    float (*value)[D] = (void *)to->value, (*lower)[D] = (void *)to->lower, (*shift)[D] = (void *)to->shift;
    float (*update)[D] = (void *)to->update, *lift_bias = (void *)to->lift_bias, *lower_bias = (void *)to->lower_bias;
    float mean = 0, value_bias[M];
    memset(to, 0, sizeof *to);
    for (int n = 0; n < M; n++) mean += p->lift_bias[n] / M;
    for (int n = 0; n < M; n++) lift_bias[n] = p->lift_bias[n] - mean;
    for (int d = 0; d < D; d++) {
        mean = 0;
        for (int n = 0; n < M; n++) mean += p->lift[n * D + d] / M;
        for (int n = 0; n < M; n++) lift[d][n] = p->lift[n * D + d] - mean;
    }
    for (int n = 0; n < M; n++) {
        const float *row = ROW(p->query, n, M);
        for (int k = 0; k < M; k++) query[k][n] = SCALE * row[k] * p->norm[k];
        ((float *)to->query_bias)[n] = SCALE * (inner(row, p->norm_bias, 1, M) + p->query_bias[n]);
        for (int j = 0; j < M; j++) {
            SCALED(key[n], ROW(p->key, n, M)[j], ROW(p->lift, j, D), D);
            SCALED(value[n], ROW(p->value, n, M)[j], ROW(p->lift, j, D), D);
        }
        value_bias[n] = inner(ROW(p->value, n, M), p->lift_bias, 1, M) + p->value_bias[n];
    }
    for (int d = 0; d < D; d++) {
        const float *low = ROW(p->lower, d, BELOW), *up = ROW(p->update, d, BESIDE);
        float merged[M] = {0};
        for (int j = 0; j < M; j++) SCALED(merged, low[j], ROW(p->merge, j, M), M);
        for (int n = 0; n < M; n++) lower[n][d] = merged[n];
        lower_bias[d] = inner(merged, value_bias, 1, M) + inner(low, p->merge_bias, 1, M) + p->lower_bias[d];
        ((float *)to->multiplicity)[d] = low[M];
        ((float *)to->shift_bias)[d] = inner(up, p->lift_bias, 1, M) + p->update_bias[d];
        for (int k = 0; k < D; k++) shift[k][d] = up[M + k], update[k][d] = inner(up, p->lift + k, D, M);
    }
}

/* Slopes in the parameters, from those in the folded maps; those of the parameters start from 0. */
static void unfold(const Parameters *p, const Parameters *g, const Weights *folded, const Weights *slopes) {
    const float (*lift)[M] = (void *)slopes->lift, (*query)[M] = (void *)slopes->query;
    const float (*key)[D] = (void *)slopes->key;
    const float (*value)[D] = (void *)slopes->value, (*lower)[D] = (void *)slopes->lower;
    const float (*shift)[D] = (void *)slopes->shift, (*update)[D] = (void *)slopes->update;
    const float (*merged)[D] = (void *)folded->lower, *lift_bias = (void *)slopes->lift_bias;
    const float *query_bias = (void *)slopes->query_bias, *lower_bias = (void *)slopes->lower_bias;
    const float *shift_bias = (void *)slopes->shift_bias;
    float mean = 0, value_bias[M], of_value_bias[M];
    for (int n = 0; n < M; n++) mean += lift_bias[n] / M;
    for (int n = 0; n < M; n++) g->lift_bias[n] += lift_bias[n] - mean;
    for (int d = 0; d < D; d++) {
        mean = 0;
        for (int n = 0; n < M; n++) mean += lift[d][n] / M;
        for (int n = 0; n < M; n++) g->lift[n * D + d] += lift[d][n] - mean;
    }
    for (int n = 0; n < M; n++) {
        const float *row = ROW(p->query, n, M);
        for (int k = 0; k < M; k++) {
            g->query[n * M + k] = SCALE * (query[k][n] * p->norm[k] + query_bias[n] * p->norm_bias[k]);
            g->norm[k] += SCALE * query[k][n] * row[k];
            g->norm_bias[k] += SCALE * query_bias[n] * row[k];
        }
        g->query_bias[n] = SCALE * query_bias[n];
        of_value_bias[n] = inner(merged[n], lower_bias, 1, D);
        value_bias[n] = inner(ROW(p->value, n, M), p->lift_bias, 1, M) + p->value_bias[n];
        g->value_bias[n] = of_value_bias[n];
        for (int j = 0; j < M; j++) {
            const float *lifts = ROW(p->lift, j, D);
            const float to_key = ROW(p->key, n, M)[j], to_value = ROW(p->value, n, M)[j];
            ROW(g->key, n, M)[j] = inner(key[n], lifts, 1, D);
            ROW(g->value, n, M)[j] = inner(value[n], lifts, 1, D) + of_value_bias[n] * p->lift_bias[j];
            SCALED(ROW(g->lift, j, D), to_key, key[n], D);
            SCALED(ROW(g->lift, j, D), to_value, value[n], D);
            g->lift_bias[j] += to_value * of_value_bias[n];
        }
    }
    for (int d = 0; d < D; d++) {
        const float *low = ROW(p->lower, d, BELOW), *up = ROW(p->update, d, BESIDE);
        float of_merged[M];
        for (int n = 0; n < M; n++) of_merged[n] = lower[n][d] + lower_bias[d] * value_bias[n];
        for (int j = 0; j < M; j++) {
            ROW(g->lower, d, BELOW)[j] = inner(of_merged, ROW(p->merge, j, M), 1, M) + lower_bias[d] * p->merge_bias[j];
            SCALED(ROW(g->merge, j, M), low[j], of_merged, M);
            g->merge_bias[j] += low[j] * lower_bias[d];
        }
        ROW(g->lower, d, BELOW)[M] = ((const float *)slopes->multiplicity)[d];
        g->lower_bias[d] = lower_bias[d], g->update_bias[d] = shift_bias[d];
        for (int k = 0; k < D; k++) ROW(g->update, d, BESIDE)[M + k] = shift[k][d];
        for (int n = 0; n < M; n++) {
            float sum = shift_bias[d] * p->lift_bias[n];
            for (int k = 0; k < D; k++) {
                sum += update[k][d] * p->lift[n * D + k];
                g->lift[n * D + k] += update[k][d] * up[n];
            }
            ROW(g->update, d, BESIDE)[n] = sum;
            g->lift_bias[n] += shift_bias[d] * up[n];
        }
    }
}

/* How many floats the maps of a block have. */
long map_numbers(void) { return sizeof(Weights) / sizeof(float); }

/* Particles (jets, particles, D) and mean fields (jets, D) after all blocks, in place; weights are folded on the way. */
void forwards(long jets, int particles, int blocks, const Parameters *parameters, Weights *weights,
              const unsigned char *real, const float *multiplicity, vf *x, vf *field, float *kept) {
    const long size = kept_numbers(particles);
    for (int b = 0; b < blocks; b++) {
        fold(parameters + b, weights + b);
        for (long j = 0; j < jets; j++) {
            const Kept of = kept_at(kept + (b * jets + j) * size, particles);
            block(weights + b, particles, real + j * particles, multiplicity[j], (vf(*)[L])(x + j * particles * L),
                  field + j * L, of.active, of.slope, of.share, of.field);
        }
    }
}

/* Slopes of the loss in x and field, from those of the outputs, in place, and in the parameters; slopes: of the maps of
   one block; work: (particles, D). */
void backwards(long jets, int particles, int blocks, const Parameters *parameters, const Weights *weights,
               const unsigned char *real, const float *multiplicity, vf *x, vf *field, float *kept,
               const Parameters *of_parameters, Weights *slopes, vf *work) {
    const long size = kept_numbers(particles);
    for (int b = blocks - 1; b >= 0; b--) {
        vf turned_update[D][L];
        for (int k = 0; k < D; k++)
            for (int l = 0; l < D; l++) ((float *)turned_update[l])[k] = AT(weights[b].update[k], l);
        memset(slopes, 0, sizeof *slopes);
        for (long j = 0; j < jets; j++) {
            const Kept of = kept_at(kept + (b * jets + j) * size, particles);
            back(weights + b, slopes, (const vf(*)[L])turned_update, particles, real + j * particles, multiplicity[j],
                 (vf(*)[L])(x + j * particles * L), field + j * L, (const vf(*)[L])of.active,
                 (const vf(*)[L])of.slope, (const vh(*)[VH])of.share, of.field, (vf(*)[L])work);
        }
        unfold(parameters + b, of_parameters + b, weights + b, slopes);
    }
}
