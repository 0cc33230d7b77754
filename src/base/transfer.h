/* What every transfer of ours through libcurl keeps to, whoever makes it (engine/remote, pictures by URL, ward models): http
 * and https alone, certificates verified, no redirect followed, no proxy, name or password but those given, no signals. */
#ifndef WD_BASE_TRANSFER_H
#define WD_BASE_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Sets a handle up that is new or was reset. ca_file: PEM, instead of the system's authorities; NULL: those. connect_ms: until a
 * connection stands, the name's resolution and TLS included. False: no memory, or no such file name could be kept. */
WD_MUST_CHECK bool wd_transfer_set_up(CURL *h, const char *ca_file, uint32_t connect_ms);

#endif
