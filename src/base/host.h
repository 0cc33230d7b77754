/* Names of hosts, as they stand in a URL. */
#ifndef WD_BASE_HOST_H
#define WD_BASE_HOST_H

#include <stdbool.h>

/* localhost, an address of 127.0.0.0/8, [::1]: what never leaves this machine. Any other name is not, however it
 * begins. */
bool wd_host_is_loopback(const char *host);

#endif
