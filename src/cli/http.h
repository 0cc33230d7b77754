/* One request to a running ward serve, with a key. */
#ifndef WD_CLI_HTTP_H
#define WD_CLI_HTTP_H

#include "cli/cli.h"

typedef struct wd_cli_server {
    const char
        *url; /* "http://127.0.0.1:8080"; http beyond loopback is refused: the key would be read on its way */
    const char *key_file; /* NULL: $WARD_KEY, or none */
    const char *ca_file;  /* PEM; NULL: the system's authorities */
} wd_cli_server;

/* GET, or POST where there is a body, which is given up. *out: the object that came back with status 200, to be decref'ed.
 * What the server refuses is its own sentence. Ends early when wd_cli_cancelled.
 *   WD_E_AUTH, WD_E_DENIED, WD_E_NOT_FOUND, WD_E_BUSY (409, 429, 503), WD_E_INVALID (other 4xx), WD_E_IO */
WD_MUST_CHECK wd_status wd_cli_http(wd_cli *cli, const wd_cli_server *s, const char *path, json_t *body,
                                    json_t **out, wd_err *err);

#endif
