/* A hash map: entries in insertion order, and an index of slots into them with linear probing. */
#include "base/map.h"

#include "base/rand.h"

typedef struct entry {
    uint8_t *key;
    size_t n;
    uint64_t hash, value;
} entry;

struct wd_map {
    entry *entries;
    size_t count, cap;
    uint32_t *slots; /* [n_slot] 1 + entry index, 0 = empty */
    size_t n_slot;   /* power of two, > 4/3 count */
    uint64_t seed;
};

/* Two rounds of multiply-and-fold per 8 bytes, keyed by the map's seed (the construction of wyhash, Wang Yi).
 */
static uint64_t fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t hash_of(const wd_map *m, wd_span key)
{
    uint64_t h = m->seed ^ key.n;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8)
        h = fold(h ^ wd_le64(key.p + i), 0x9E3779B97F4A7C15u);
    uint64_t tail = 0;
    for (size_t k = 0; i + k < key.n; k++)
        tail |= (uint64_t)key.p[i + k] << (8 * k);
    return fold(fold(h ^ tail, 0xD6E8FEB86659FD93u), m->seed | 1);
}

static size_t find_slot(const wd_map *m, wd_span key, uint64_t h)
{
    size_t i = h & (m->n_slot - 1);
    for (; m->slots[i]; i = (i + 1) & (m->n_slot - 1)) {
        const entry *e = &m->entries[m->slots[i] - 1];
        if (e->hash == h && wd_span_eq(key, wd_span_of(e->key, e->n)))
            break;
    }
    return i;
}

static bool rehash(wd_map *m, size_t n_slot)
{
    uint32_t *slots = WD_ALLOC_N(uint32_t, n_slot);
    if (!slots)
        return false;
    wd_free(m->slots);
    m->slots = slots;
    m->n_slot = n_slot;
    for (size_t e = 0; e < m->count; e++) {
        size_t i = m->entries[e].hash & (n_slot - 1);
        while (slots[i])
            i = (i + 1) & (n_slot - 1);
        slots[i] = (uint32_t)e + 1;
    }
    return true;
}

wd_map *wd_map_create(size_t expected)
{
    wd_map *m = WD_ALLOC(wd_map);
    if (!m)
        return NULL;
    m->seed = wd_rand_os_seed();
    size_t n = 16;
    while (n / 4 * 3 <= expected && n < (size_t)1 << 31)
        n *= 2;
    if (!rehash(m, n)) {
        wd_map_destroy(m);
        return NULL;
    }
    return m;
}

void wd_map_destroy(wd_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        wd_free(m->entries[i].key);
    wd_free(m->entries);
    wd_free(m->slots);
    wd_free(m);
}

size_t wd_map_count(const wd_map *m)
{
    return m->count;
}

wd_status wd_map_put(wd_map *m, wd_span key, uint64_t value, bool *was)
{
    const uint64_t h = hash_of(m, key);
    size_t slot = find_slot(m, key, h);
    if (was)
        *was = m->slots[slot] != 0;
    if (m->slots[slot]) {
        m->entries[m->slots[slot] - 1].value = value;
        return WD_OK;
    }
    if (m->count >= UINT32_MAX - 1)
        return WD_E_NOMEM;
    if ((m->count + 1) > m->n_slot / 4 * 3) {
        if (!rehash(m, m->n_slot * 2))
            return WD_E_NOMEM;
        slot = find_slot(m, key, h);
    }
    if (m->count == m->cap) {
        const size_t cap = m->cap ? m->cap * 2 : 16;
        entry *e = wd_realloc(m->entries, cap, sizeof *e);
        if (!e)
            return WD_E_NOMEM;
        m->entries = e;
        m->cap = cap;
    }
    uint8_t *copy = wd_calloc(key.n + 1, 1);
    if (!copy)
        return WD_E_NOMEM;
    if (key.n)
        memcpy(copy, key.p, key.n);
    m->entries[m->count] = (entry){ copy, key.n, h, value };
    m->slots[slot] = (uint32_t)++m->count;
    return WD_OK;
}

bool wd_map_get(const wd_map *m, wd_span key, uint64_t *value)
{
    const uint32_t e = m->slots[find_slot(m, key, hash_of(m, key))];
    if (!e)
        return false;
    *value = m->entries[e - 1].value;
    return true;
}

wd_span wd_map_key(const wd_map *m, size_t i)
{
    return wd_span_of(m->entries[i].key, m->entries[i].n);
}

uint64_t wd_map_value(const wd_map *m, size_t i)
{
    return m->entries[i].value;
}
