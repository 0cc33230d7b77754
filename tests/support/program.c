/* Runs a program and keeps what it said. */
#include "support/program.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test.h"

static void slurp(FILE *f, wd_buf *out)
{
    char part[4096];
    size_t n;
    rewind(f);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        wd_buf_put(out, part, n);
    wd_buf_put(out, "", 0); /* a C string even when nothing was said */
    fclose(f);
}

void test_run(const char *const *argv, test_output *o)
{
    int status;
    FILE *out = tmpfile(), *err = tmpfile();
    *o = (test_output){ 0 };
    assert_non_null(out);
    assert_non_null(err);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    o->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    slurp(out, &o->out);
    slurp(err, &o->err);
    if (o->exit_code == 127)
        fail_msg("%s cannot be started", argv[0]);
}

void test_output_free(test_output *o)
{
    wd_buf_free(&o->out);
    wd_buf_free(&o->err);
}
