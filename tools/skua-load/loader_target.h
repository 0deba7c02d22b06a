/*
 * loader_target.h - whom to load with what: the URL, taken apart, and the bytes of the requests,
 * made once, so that sending one copies nothing.
 */
#ifndef SKUA_LOADER_TARGET_H
#define SKUA_LOADER_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <skua/net.h>

struct loader_options;

#define LOADER_HOST_SIZE 256u
#define LOADER_NOISE_PLACES 4096u /* where a message of echo may begin in the noise */
#define LOADER_PLACE_BYTES ((size_t)8)

/* The head of a request. */
struct loader_head {
    char *text;
    size_t size;
};

struct loader_target {
    bool echo;
    bool bodiless; /* the method is HEAD: answers have no bodies */
    char host[LOADER_HOST_SIZE];
    char port[8];
    skua_address addresses[SKUA_DIAL_ADDRESSES_MAX];
    size_t address_count; /* 0 until they are looked up */
    /* Of HTTP: a head for each path, and the body that all have. */
    struct loader_head *heads;
    size_t head_count;
    char *body;
    size_t body_size;
    char *paths; /* the text of the file of paths */
    /* Of echo: a message is message_bytes of the noise, from a place on. */
    char *noise;
    size_t message_bytes;
};

/*
 * Makes *@target, which is zero, as the options say; their list of paths is completed from the URL
 * and the file. Prints what is wrong. Returns an exit status; 0 if it is there.
 */
int skua_loader_target_init(struct loader_target *target, struct loader_options *options);
void skua_loader_target_fini(struct loader_target *target);

#endif /* SKUA_LOADER_TARGET_H */
