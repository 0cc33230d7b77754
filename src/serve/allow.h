/* The list of places from where pictures may be fetched, and the addresses that their names may have there.
 *
 *   https://images.example                    this host and port, everything below it; addresses of the public Internet alone
 *   http://pacs.hospital:8042/wado=10.2.0.7   paths below /wado; the name must lead to 10.2.0.7
 *   https://vna.hospital=10.2.0.0/16+fd12::/48   ... to one of these networks
 *   http://10.2.0.7:8042                      a host by its address: that one
 *
 * Only an entry that says so reaches loopback, private, link-local or otherwise special addresses (the registries of RFC 6890):
 * what a name resolves to is somebody else's to choose. The address that counts is the one that is connected to
 * (serve/fetch.c). URLs are taken apart by libcurl, which also fetches them: what is checked is what is done.
 *
 * Made once; only read afterwards, by any thread.
 */
#ifndef WD_SERVE_ALLOW_H
#define WD_SERVE_ALLOW_H

#include <curl/urlapi.h>
#include <sys/socket.h>

#include "base/buf.h"

typedef struct wd_allow wd_allow;
typedef struct wd_allow_entry wd_allow_entry;

/* WD_E_USAGE: an entry that is none; the sentence quotes it. n 0: *out is NULL, nothing is allowed. */
WD_MUST_CHECK wd_status wd_allow_create(const char *const *entry, size_t n, wd_allow **out, wd_err *err);
void wd_allow_destroy(wd_allow *a); /* accepts NULL */

/* The entry that a URL falls under. *parsed, if not NULL, is the URL as it is to be fetched: curl_url_cleanup it.
 *   WD_E_INVALID   no URL, or none of http and https, or with a name and password in it
 *   WD_E_DENIED    no entry allows it */
WD_MUST_CHECK wd_status wd_allow_find(const wd_allow *a, const char *url, const wd_allow_entry **out,
                                      CURLU **parsed, wd_err *err);
/* May something of that entry be fetched from this address? IPv4 within IPv6 (::ffff:a.b.c.d) counts as IPv4. */
bool wd_allow_address(const wd_allow_entry *e, const struct sockaddr *sa);

#endif
