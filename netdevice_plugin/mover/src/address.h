#ifndef NDM_ADDRESS_H
#define NDM_ADDRESS_H

#include "text.h"

/* MAC, IP and PCI addresses: read, written and compared, by text.h's rules. */

#define MAC_MAX 32 /* the kernel's MAX_ADDR_LEN; Ethernet has 6, InfiniBand 20 */

struct mac {
    uint8_t length; /* 0: none */
    uint8_t bytes[MAC_MAX];
};

/* Two hex digits a byte, colons between: 02:00:00:00:00:01. */
int parse_mac(struct span span, struct mac *out);
void text_put_mac(struct text *text, const struct mac *mac); /* lower case */
bool mac_equal(const struct mac *one, const struct mac *other);

struct ip {
    uint8_t family; /* AF_INET or AF_INET6; 0: none */
    uint8_t prefix;
    uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest is 0 */
};

/* 192.0.2.1 or 2001:db8::1, no prefix length, no zone; `prefix` becomes 32 or 128. */
int parse_ip(struct span span, struct ip *out);

/* The same with a prefix length: 192.0.2.1/24. */
int parse_cidr(struct span span, struct ip *out);

size_t ip_size(const struct ip *ip); /* 4 or 16; 0 for none */
bool ip_has_host_bits(const struct ip *ip); /* bits set beyond the prefix */
bool ip_is_unspecified(const struct ip *ip);
bool ip_is_multicast(const struct ip *ip);
void text_put_ip(struct text *text, const struct ip *ip); /* RFC 5952, no prefix length */

#define PCI_ADDRESS_SIZE 17 /* "10000:e1:00.0": a domain has four to eight digits, as VMD shows */

/* 0000:03:00.1 in either case; `out` gets it in lower case. */
int parse_pci(struct span span, char out[PCI_ADDRESS_SIZE]);

#endif
