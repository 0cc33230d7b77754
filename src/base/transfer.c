/* The one place where options of libcurl that keep a transfer safe are set. */
#include "base/transfer.h"

bool wd_transfer_set_up(CURL *h, const char *ca_file, uint32_t connect_ms)
{
    bool good = true;
#define SET(option, value) (good = good && curl_easy_setopt(h, option, value) == CURLE_OK)
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* nothing leaves by a way that only the environment names */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name that is being resolved does not hold up a cancelled call */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (ca_file) {
        SET(CURLOPT_CAINFO, ca_file);
        SET(CURLOPT_CAPATH, (char *)NULL); /* not those of the system beside it */
    }
#undef SET
    return good;
}
