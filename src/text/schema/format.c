/* The formats of strings as regular expressions.
 *
 * date, time, date-time: RFC 3339, with the days of each month and of leap years (years 0001 to 9999), hours to 23 and
 * seconds to 59: leap seconds are left out, for no library reads them. uuid: RFC 9562, hexadecimal of either case. email:
 * the dot-atoms of RFC 5321 with a host name, within its lengths; quoted local parts and addresses in brackets are left
 * out. */
#include <string.h>

#include "text/schema/inner.h"

#define YEAR "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
#define LEAP "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                    \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]" \
    "[0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP "-02-29)"
#define HOUR "(?:[01][0-9]|2[0-3])"
#define TIME HOUR ":[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" HOUR ":[0-5][0-9])"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"

static const struct {
    const char *name, *regex;
} formats[] = {
    { "date", DATE },
    { "time", TIME },
    { "date-time", DATE "T" TIME },
    { "uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}" },
    { "email", ATOM "(?:\\." ATOM "){0,2}@(?:" LABEL "\\.){1,4}[A-Za-z]{2,20}" },
};

wd_status wd_schema__format(const char *format, wd_span *regex)
{
    for (size_t i = 0; i < WD_COUNT(formats); i++)
        if (strcmp(formats[i].name, format) == 0) {
            *regex = wd_span_str(formats[i].regex);
            return WD_OK;
        }
    return WD_E_UNSUPPORTED;
}
