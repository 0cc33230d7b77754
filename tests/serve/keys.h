/* A guard in a new directory, with one account of each of two roles. */
#ifndef WD_TESTS_SERVE_KEYS_H
#define WD_TESTS_SERVE_KEYS_H

#include "guard/guard.h"

typedef struct test_keys {
    char *dir;
    wd_guard *guard;
    /* "Bearer ..."; other: another clinician, north: one of another tenant */
    char clinician[80], other[80], auditor[80], service[80], north[80];
} test_keys;

void test_keys_make(test_keys *k);
/* Counts the records of an action with that outcome; closes the guard, removes the directory. */
unsigned test_keys_end(test_keys *k, const char *action, const char *outcome);

#endif
