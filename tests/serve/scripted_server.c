/* A server without a model, for clients: each argument is a reply, in turn; first --holds-calls for an engine that holds
 * calls to their tools. Prints its port; ends with standard input. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "serve/serve.h"
#include "support/scripted.h"

static double score(void *ctx, const wd_rerank_pair *pair)
{
    double n = 0; /* longer is better */
    (void)ctx;
    for (size_t i = 0; i < pair->document.parts.n_part; i++)
        n += (double)pair->document.parts.part[i].text.n;
    return n / (n + 10);
}

int main(int argc, char **argv)
{
    static scripted s;
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    wd_server *server;
    wd_err err;
    char part[64];
    const bool holds = argc > 1 && !strcmp(argv[1], "--holds-calls");
    argc -= holds;
    argv += holds;
    scripted_init(&s, (const char *const *)argv + 1, (size_t)argc - 1);
    s.engine.info.holds_calls = holds;
    s.score = score;
    o.engine = &s.engine;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    if (argc < 2 || wd_serve_start(&o, &server, &err)) {
        fprintf(stderr, "scripted_server: %s\n", argc < 2 ? "no replies" : err.text);
        return 1;
    }
    printf("%u\n", wd_serve_port(server));
    fflush(stdout);
    while (read(STDIN_FILENO, part, sizeof part) > 0)
        ;
    wd_serve_stop(server);
    return 0;
}
