/* The text of babeld's local interface, one line at a time; babel_ctl/codec.py is the reference and states the grammar. */
#include <stdio.h>

#define MAX_LINE 1023
#define MAX_PAIRS 24

typedef struct { const char *p; size_t n; } token;

static inline __attribute__((always_inline)) int is_word(token t, const char *word)
{
    return t.n == strlen(word) && memcmp(t.p, word, t.n) == 0;
}

static int parse_number(token t, uint32_t *out)
{
    uint64_t v = 0;
    if (t.n == 0 || t.n > 10)
        return -1;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9')
            return -1;
        v = v * 10 + (uint64_t)(t.p[i] - '0');
    }
    if (v > UINT32_MAX)
        return -1;
    *out = (uint32_t)v;
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex(token t, size_t max_digits, uint64_t *out)
{
    uint64_t v = 0;
    if (t.n == 0 || t.n > max_digits)
        return -1;
    for (size_t i = 0; i < t.n; i++) {
        int d = hex_digit(t.p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return 0;
}

/* "12.345" milliseconds -> 12345 microseconds */
static int parse_rtt(token t, uint32_t *out)
{
    uint32_t ms, us;
    if (t.n < 5 || t.p[t.n - 4] != '.')
        return -1;
    if (parse_number((token){t.p, t.n - 4}, &ms) || parse_number((token){t.p + t.n - 3, 3}, &us))
        return -1;
    if ((uint64_t)ms * 1000 + us > UINT32_MAX)
        return -1;
    *out = ms * 1000 + us;
    return 0;
}

static int parse_router_id(token t, uint8_t *out)
{
    if (t.n != 23)
        return -1;
    for (int i = 0; i < 8; i++) {
        int hi = hex_digit(t.p[3 * i]), lo = hex_digit(t.p[3 * i + 1]);
        if (hi < 0 || lo < 0 || (i < 7 && t.p[3 * i + 2] != ':'))
            return -1;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

/* An address, IPv4 as v4-mapped; returns 4 or 6, or -1. */
static int parse_address(token t, uint8_t *out)
{
    char text[INET6_ADDRSTRLEN];
    if (t.n == 0 || t.n >= sizeof text || memchr(t.p, 0, t.n))
        return -1;
    memcpy(text, t.p, t.n);
    text[t.n] = 0;
    if (inet_pton(AF_INET6, text, out) == 1)
        return 6;
    if (inet_pton(AF_INET, text, out + 12) != 1)
        return -1;
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    return 4;
}

static int parse_prefix(token t, uint8_t *out, uint8_t *plen)
{
    const char *slash = memchr(t.p, '/', t.n);
    uint32_t length;
    if (!slash)
        return -1;
    size_t n = (size_t)(slash - t.p);
    int family = parse_address((token){t.p, n}, out);
    if (family < 0 || t.n - n - 1 > 3 || parse_number((token){slash + 1, t.n - n - 1}, &length)
        || length > (family == 4 ? 32 : 128))
        return -1;
    if (family == 4)
        length += 96;
    for (uint32_t bit = length; bit < 128; bit++)
        if (bit % 8 == 0 ? out[bit / 8] : out[bit / 8] & (0x80 >> bit % 8))
            return -1;
        else if (bit % 8 == 0)
            bit += 7;
    *plen = (uint8_t)length;
    return 0;
}

static int parse_name(token t, char *out)
{
    if (t.n == 0 || t.n > 15)
        return -1;
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] > '~' || t.p[i] == '/')
            return -1;
    memcpy(out, t.p, t.n);
    return 0;
}

static int parse_bool(token t, uint8_t *flags, uint8_t bit, const char *yes, const char *no)
{
    if (is_word(t, yes))
        *flags |= bit;
    else if (!is_word(t, no))
        return -1;
    return 0;
}

typedef struct { token key[MAX_PAIRS], value[MAX_PAIRS]; int n; } pairs;

/* The last value of a key; an empty token when it is absent (every parser refuses an empty token). */
static token get_key(const pairs *p, const char *key, size_t n)
{
    for (int i = p->n - 1; i >= 0; i--)
        if (p->key[i].n == n && memcmp(p->key[i].p, key, n) == 0)
            return p->value[i];
    return (token){"", 0};
}
#define get(p, key) get_key(p, key, sizeof(key) - 1)

static int fill_interface(reader_record *r, const pairs *p, token id)
{
    token v6 = get(p, "ipv6"), v4 = get(p, "ipv4");
    uint8_t mapped[16];
    if (parse_name(id, r->ifname) || parse_bool(get(p, "up"), &r->flags, R_UP, "true", "false"))
        return -1;
    if (v6.n) {
        if (parse_address(v6, r->address) != 6)
            return -1;
        r->flags |= R_HAS_IPV6;
    }
    if (v4.n) {
        if (parse_address(v4, mapped) != 4)
            return -1;
        memcpy(r->ipv4, mapped + 12, 4);
        r->flags |= R_HAS_IPV4;
    }
    return 0;
}

static int fill_neighbour(reader_record *r, const pairs *p, token id)
{
    uint64_t reach, ureach = 0;
    token rtt = get(p, "rtt"), rttcost = get(p, "rttcost"), unicast = get(p, "ureach");
    if (parse_hex(id, 16, &r->id) || parse_address(get(p, "address"), r->address) < 0
        || parse_hex(get(p, "reach"), 4, &reach) || (unicast.n && parse_hex(unicast, 4, &ureach))
        || parse_number(get(p, "rxcost"), &r->rxcost) || parse_number(get(p, "txcost"), &r->txcost)
        || parse_number(get(p, "cost"), &r->cost) || (rttcost.n && parse_number(rttcost, &r->rttcost)))
        return -1;
    if (rtt.n) {
        if (parse_rtt(rtt, &r->rtt_us))
            return -1;
        r->flags |= R_HAS_RTT;
    }
    r->reach = (uint16_t)reach;
    r->ureach = (uint16_t)ureach;
    return 0;
}

static int fill_prefixes(reader_record *r, const pairs *p)
{
    return parse_prefix(get(p, "prefix"), r->prefix, &r->plen) || parse_prefix(get(p, "from"), r->src, &r->src_plen)
        || parse_number(get(p, "metric"), &r->metric) ? -1 : 0;
}

static int fill_route(reader_record *r, const pairs *p, token id)
{
    return parse_hex(id, 16, &r->id) || fill_prefixes(r, p)
        || parse_bool(get(p, "installed"), &r->flags, R_INSTALLED, "yes", "no")
        || parse_router_id(get(p, "id"), r->router_id) || parse_number(get(p, "refmetric"), &r->refmetric)
        || parse_address(get(p, "via"), r->address) < 0 ? -1 : 0;
}

/* Parse a line that begins with add, change or flush: 1 record, 0 nothing of ours, -1 not valid.
 * *remove: the record names a key to forget. */
static int parse_record(const char *line, size_t n, reader_record *r, int *remove)
{
    static const char *const kinds[] = {"interface", "neighbour", "xroute", "route"};
    token words[3 + 2 * MAX_PAIRS];
    int count = 0, kind;
    const char *p = line, *end = line + n;
    for (;;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        if (count == 3 + 2 * MAX_PAIRS)
            return -1;
        words[count++] = (token){p, (size_t)((space ? space : end) - p)};
        if (!space)
            break;
        p = space + 1;
    }
    if (count < 2)
        return -1;
    for (kind = 0; kind < R_BEST && !is_word(words[1], kinds[kind]); kind++)
        ;
    if (kind == R_BEST)
        return 0;
    if (count < 3 || count % 2 == 0)
        return -1;
    pairs all = {.n = (count - 3) / 2};
    for (int i = 0; i < all.n; i++) {
        all.key[i] = words[3 + 2 * i];
        all.value[i] = words[4 + 2 * i];
    }
    memset(r, 0, sizeof *r);
    r->kind = (uint8_t)kind;
    *remove = is_word(words[0], "flush");
    if (kind == R_INTERFACE ? fill_interface(r, &all, words[2])
        : kind == R_NEIGHBOUR ? fill_neighbour(r, &all, words[2])
        : kind == R_XROUTE ? fill_prefixes(r, &all) : fill_route(r, &all, words[2]))
        return -1;
    /* babeld 1.12 keeps a neighbour for a while after its interface was freed, and prints what is there now. */
    if ((kind == R_NEIGHBOUR || kind == R_ROUTE) && parse_name(get(&all, "if"), r->ifname))
        *remove = 1;
    return 1;
}
