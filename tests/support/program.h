/* Runs a program and keeps what it said. */
#ifndef WD_TESTS_SUPPORT_PROGRAM_H
#define WD_TESTS_SUPPORT_PROGRAM_H

#include "base/buf.h"

typedef struct test_output {
    int exit_code; /* -1: killed by a signal */
    wd_buf out, err;
} test_output;

/* argv[0] is the program's path; NULL-terminated. Fails the test when it cannot be started. */
void test_run(const char *const *argv, test_output *o);
void test_output_free(test_output *o);

#endif
