/* A hash map from byte strings to 64-bit values. Open addressing; SipHash-free but seeded per map, so that
 * names from outside cannot be chosen to collide. Keys are copied. Not thread-safe for writers. */
#ifndef WD_BASE_MAP_H
#define WD_BASE_MAP_H

#include "base/buf.h"

typedef struct wd_map wd_map;

WD_MUST_CHECK wd_map *wd_map_create(size_t expected);
void wd_map_destroy(wd_map *m); /* accepts NULL */
size_t wd_map_count(const wd_map *m);

/* Adds or replaces; *was (may be NULL) tells whether the key was there. WD_E_NOMEM on failure. */
WD_MUST_CHECK wd_status wd_map_put(wd_map *m, wd_span key, uint64_t value, bool *was);
bool wd_map_get(const wd_map *m, wd_span key, uint64_t *value);

/* The i-th key in insertion order, i < count. */
wd_span wd_map_key(const wd_map *m, size_t i);
uint64_t wd_map_value(const wd_map *m, size_t i);

#endif
