/* The settings of a virtual function as words: those of --vf, and those of a record. */

#include <errno.h>
#include <string.h>

#include "parser.h"

#define QOS_MAX 7 /* IEEE 802.1Q: three bits */
#define VLAN_KEYS (1U << VF_VLAN | 1U << VF_QOS | 1U << VF_PROTOCOL)

static const char keywords[] =
    "mac vlan qos protocol min-tx-rate max-tx-rate spoofchk link-state trust";

/* What the numbers of a key stand for; NULL: themselves. */
static const char *words_of(enum vf_key key)
{
    switch (key) {
    case VF_PROTOCOL:
        return "802.1q 802.1ad";
    case VF_LINK_STATE:
        return "auto enable disable";
    case VF_SPOOFCHK:
    case VF_TRUST:
        return "off on";
    default:
        return NULL;
    }
}

static int take_word(struct phrase *phrase, enum vf_key key, struct vf_arg *out)
{
    const char *words = words_of(key);

    if (key == VF_MAC) {
        int rc = parser_mac(phrase->parser, phrase->value, &out->mac);
        return rc < 0 || out->mac.length == 6
                   ? rc
                   : parser_refuse(phrase->parser, phrase->value, "is not of 6 bytes");
    }
    if (words == NULL)
        return parser_number(phrase->parser, phrase->value, 0,
                             key == VF_VLAN  ? VLAN_MAX
                             : key == VF_QOS ? QOS_MAX
                                             : UINT32_MAX,
                             &out->values[key]);
    int number = parser_choose(phrase->parser, phrase->value, words);
    out->values[key] = (uint32_t)number;
    return number < 0 ? number : 0;
}

static int parse(struct parser *parser, const char *text, struct vf_arg *out)
{
    struct phrase phrase = phrase_of(parser, text, keywords);
    int key, rc = 0;

    *out = (struct vf_arg){0};
    while (rc == 0 && (key = phrase_next(&phrase, NONE_BARE)) != -ENOENT)
        rc = key < 0 ? key : take_word(&phrase, (enum vf_key)key, out);
    out->given = phrase.seen;
    /* The kernel sets the three at once. */
    if (out->given & 1U << VF_VLAN)
        out->given |= VLAN_KEYS;
    else if (rc == 0 && out->given & VLAN_KEYS)
        return parser_refuse(parser, span_of(text), "says qos or protocol without a vlan");
    return rc;
}

int vf_parse(const char *phrase, struct vf_arg *out)
{
    char error[1];
    struct parser parser = {0};

    text_init(&parser.error, error, sizeof error);
    return parse(&parser, phrase, out);
}

int take_vf(struct parser *parser, const char *value)
{
    struct vf_arg *vf = &parser->out->vf;
    int rc = parse(parser, value, vf);

    if (rc == 0 && vf->given == 0)
        return parser_refuse(parser, span_of(value), "asks for nothing");
    return rc < 0 || !(vf->given & 1U << VF_MAC)
               ? rc
               : parser_host_mac(parser, span_of(value), &vf->mac);
}

/* The PF's and the link's own MAC are one: where the PF has set it, no other can be used. */
int vf_finish(struct parser *parser)
{
    struct options *out = parser->out;

    if (!(out->vf.given & 1U << VF_MAC))
        return 0;
    if (out->mac.length == 0)
        out->mac = out->vf.mac;
    if (mac_equal(&out->mac, &out->vf.mac))
        return 0;
    return parser_fail(parser, "--mac and --vf have different MACs");
}

void vf_put(struct text *out, const struct vf_arg *vf, enum vf_key key)
{
    const char *words = words_of(key);

    text_put_span(out, words_at(keywords, key));
    text_put_char(out, ' ');
    if (key == VF_MAC)
        text_put_mac(out, &vf->mac);
    else if (words != NULL)
        text_put_span(out, words_at(words, vf->values[key]));
    else
        text_put_unsigned(out, vf->values[key]);
}

void vf_format(struct text *out, const struct vf_arg *vf)
{
    bool first = true;

    for (unsigned key = 0; key < VF_KEYS; key++) {
        if (!(vf->given >> key & 1))
            continue;
        text_put(out, first ? "" : " ");
        first = false;
        vf_put(out, vf, (enum vf_key)key);
    }
}
