/* Character classes and NFC.
 *
 * A character with neither a combining class nor a part in any composition as its second half ends whatever came
 * before: text falls into runs there. Nearly all text consists of such characters alone and is copied; only a run
 * with one that needs care is decomposed, put in canonical order and composed again.
 */
#include "text/unicode.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/unicode_ranges.inc"

#define FIRST_CARE_LEAD 0xCC /* lead byte of U+0300, the first character that needs care */
#define SHORT_ORDER 24       /* marks up to this many are put in order by insertion */

static void fill(wd_unicode *u, const uint32_t (*ranges)[2], size_t n, uint8_t bit)
{
    for (size_t i = 0; i < n; i++) {
        for (uint32_t c = ranges[i][0]; c <= ranges[i][1]; c++)
            u->of[c] |= bit;
    }
}

wd_unicode *wd_unicode_create(void)
{
    wd_unicode *u = WD_ALLOC(wd_unicode);

    if (!u)
        return NULL;
    fill(u, letter_ranges, WD_COUNT(letter_ranges), WD_UC_LETTER);
    fill(u, number_ranges, WD_COUNT(number_ranges), WD_UC_NUMBER);
    fill(u, space_ranges, WD_COUNT(space_ranges), WD_UC_SPACE);
    fill(u, nfc_care_ranges, WD_COUNT(nfc_care_ranges), WD_UC_NFC_CARE);
    fill(u, nfc_first_ranges, WD_COUNT(nfc_first_ranges), WD_UC_NFC_FIRST);
    return u;
}

/* The next character at or after `at` that needs care; text.n if there is none. *run: where its run begins. */
static size_t find_care(const wd_unicode *u, wd_span text, size_t at, size_t *run)
{
    size_t before = at; /* the character before i, at == i if that is not known */
    size_t i = at;

    while (i < text.n) {
        if (text.p[i] < FIRST_CARE_LEAD) {
            uint64_t eight;
            before = i;
            if (i + 8 < text.n) { /* eight bytes of ASCII at once */
                memcpy(&eight, text.p + i, 8);
                if ((eight & 0x8080808080808080u) == 0) {
                    before = i + 7;
                    i += 8;
                    continue;
                }
            }
            i += text.p[i] < 0x80 ? 1 : 2;
            continue;
        }
        size_t n;
        const uint32_t cp = wd_unicode_next(text.p + i, &n);
        if (u->of[cp] & WD_UC_NFC_CARE) {
            size_t unused;
            *run = i;
            if (before < i && u->of[wd_unicode_next(text.p + before, &unused)] & WD_UC_NFC_FIRST)
                *run = before;
            return i;
        }
        before = i;
        i += n;
    }
    *run = text.n;
    return text.n;
}

size_t wd_unicode_nfc_prefix(const wd_unicode *u, wd_span text)
{
    size_t run;

    find_care(u, text, 0, &run);
    return run;
}

static inline unsigned combining_class(int32_t cp)
{
    return (unsigned)utf8proc_get_property(cp)->combining_class;
}

/* Canonical order of n marks (none of class 0): a stable sort by class. tmp holds as many. */
static void order_marks(int32_t *cp, size_t n, int32_t *tmp)
{
    if (n <= SHORT_ORDER) {
        for (size_t i = 1; i < n; i++) {
            const int32_t c = cp[i];
            const unsigned k = combining_class(c);
            size_t j = i;
            for (; j > 0 && combining_class(cp[j - 1]) > k; j--)
                cp[j] = cp[j - 1];
            cp[j] = c;
        }
        return;
    }
    size_t start[257] = { 0 };
    for (size_t i = 0; i < n; i++)
        start[combining_class(cp[i]) + 1]++;
    for (size_t k = 1; k < WD_COUNT(start); k++)
        start[k] += start[k - 1];
    memcpy(tmp, cp, n * sizeof(*cp));
    for (size_t i = 0; i < n; i++)
        cp[start[combining_class(tmp[i])]++] = tmp[i];
}

/* Appends the NFC of one run. work: memory for it, kept from run to run. */
static wd_status put_run(wd_span run, wd_buf *work, wd_buf *out, wd_err *err)
{
    size_t n_char = 0, room, n = 0;

    for (size_t i = 0; i < run.n; i++)
        n_char += (run.p[i] & 0xC0) != 0x80;
    wd_buf_clear(work);
    /* no canonical decomposition is longer than four characters; as much again for the sort */
    if (!wd_mul_size(n_char, 2 * 4 * sizeof(int32_t), &room) || !wd_buf_grow(work, room))
        return WD_FAIL(err, WD_E_NOMEM, "normalisation: no memory for %zu characters", n_char);

    int32_t *cp = (int32_t *)(void *)work->p;
    for (size_t i = 0, w; i < run.n; i += w) {
        const uint32_t c = wd_unicode_next(run.p + i, &w);
        n += (size_t)utf8proc_decompose_char((utf8proc_int32_t)c, cp + n, (utf8proc_ssize_t)(4 * n_char - n),
                                             UTF8PROC_DECOMPOSE, NULL);
    }
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (combining_class(cp[i]) == 0)
            continue;
        while (end < n && combining_class(cp[end]) != 0)
            end++;
        order_marks(cp + i, end - i, cp + 4 * n_char);
    }
    n = (size_t)utf8proc_normalize_utf32(cp, (utf8proc_ssize_t)n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (size_t i = 0; i < n; i++) {
        uint8_t utf8[4];
        wd_buf_put(out, utf8, wd_utf8_put((uint32_t)cp[i], utf8));
    }
    return WD_OK;
}

wd_status wd_unicode_nfc(const wd_unicode *u, wd_span text, wd_buf *out, wd_err *err)
{
    wd_buf work = { 0 };
    wd_status st = WD_OK;
    size_t at = 0;

    while (at < text.n && st == WD_OK) {
        size_t run, n;
        size_t end = find_care(u, text, at, &run);
        wd_buf_span(out, wd_span_sub(text, at, run - at));
        while (end < text.n && u->of[wd_unicode_next(text.p + end, &n)] & WD_UC_NFC_CARE)
            end += n;
        if (end > run)
            st = put_run(wd_span_sub(text, run, end - run), &work, out, err);
        at = end;
    }
    wd_buf_wipe(&work);
    wd_buf_free(&work);
    return st ? st : wd_buf_check(out, "normalisation", err);
}
