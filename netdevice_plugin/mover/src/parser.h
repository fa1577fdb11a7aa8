#ifndef NDM_PARSER_H
#define NDM_PARSER_H

#include "args.h"

#define VLAN_MAX 4094 /* IEEE 802.1Q: 0 is for priority alone, 4095 is reserved */

/* What the files about the command line share, and with vf_parse() a record. */
struct parser {
    struct options *out;
    struct text error;
    const char *option; /* the one at hand, without its dashes; NULL: no one alone */
    uint32_t seen;      /* a bit for each option */
};

/* Each says what is wrong, if there is one with the option at hand, and returns -EINVAL. */
int parser_fail(struct parser *parser, const char *why);                      /* "--mtu: " */
int parser_refuse(struct parser *parser, struct span value, const char *why); /* "--mtu: '12' " */

int parser_number(struct parser *parser, struct span value, uint32_t least, uint32_t most,
                  uint32_t *out);
/* The number of the word among `words`, which have a blank between them. */
int parser_choose(struct parser *parser, struct span word, const char *words);
int parser_mac(struct parser *parser, struct span value, struct mac *out);
/* Whether it is one that a host can have, if it is Ethernet's. */
int parser_host_mac(struct parser *parser, struct span value, const struct mac *mac);

/* The options whose values are one word each. */
int take_device(struct parser *parser, const char *value);
int take_run_dir(struct parser *parser, const char *value);
int take_link_name(struct parser *parser, const char *value, const char **out);
int take_link_pci(struct parser *parser, const char *value);
int take_as(struct parser *parser, const char *value);
int take_mac(struct parser *parser, const char *value);
int take_address(struct parser *parser, const char *value);
int take_setting(struct parser *parser, const char *value, enum setting_group group);
/* 1 to `most` bytes of the kernel's own making; else `why` says what they are not. */
int take_plain(struct parser *parser, const char *value, size_t most, const char *why,
               const char **out);

/* The options whose values are phrases of several words. */
int take_route(struct parser *parser, const char *value);
int take_rule(struct parser *parser, const char *value);
int take_neighbour(struct parser *parser, const char *value);
int take_vrf(struct parser *parser, const char *value);
int take_create(struct parser *parser, const char *value);
int take_vlan(struct parser *parser, const char *value);
int take_vf(struct parser *parser, const char *value);

/* A phrase under way. */
struct phrase {
    struct parser *parser;
    struct span rest;
    const char *keywords;    /* with a blank between them */
    uint32_t seen;           /* a bit for each keyword */
    struct span word, value; /* of the keyword at hand */
};

/* Takes the next word off; empty: there is none. */
struct span span_word(struct span *rest);
struct phrase phrase_of(struct parser *parser, const char *text, const char *keywords);
/*
 * The number of the next keyword, with its value in the phrase, but for the one that is
 * `bare`. -ENOENT: that was all.
 */
int phrase_next(struct phrase *phrase, int bare);
#define NONE_BARE (-1)
/* The value at hand as a number. */
int phrase_number(struct phrase *phrase, uint32_t least, uint32_t *out);

/* What only all options together tell about them. */
int phrases_finish(struct parser *parser);
int vf_finish(struct parser *parser);
int links_finish(struct parser *parser);

#endif
