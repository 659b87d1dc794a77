/* A PKCS#11 module in front of a real one, whose token fails where a test wants it to.
 *
 * TOKEN_MODULE is the real module. TOKEN_FAULT is FUNCTION:CODE or FUNCTION:CODE:N: the function
 * (login, sign, derive, tokens) returns that code in hex, after N calls that went well. The code 0
 * stands for a wrong answer: a signature with another last byte, a shared secret of 16 bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long word;
struct attribute {
    word type;
    void *value;
    word length;
};
typedef word (*login_f)(word, word, unsigned char *, word);
typedef word (*sign_f)(word, unsigned char *, word, unsigned char *, word *);
typedef word (*derive_f)(word, void *, word, struct attribute *, word, word *);
typedef word (*tokens_f)(unsigned char, word *, word *);
typedef word (*list_f)(void ***);

/* A CK_FUNCTION_LIST: the version, which fills one place, and 68 functions. */
enum { C_GetSlotList = 5, C_Login = 19, C_Sign = 44, C_DeriveKey = 63 };
enum { PLACES = 69, GOES_ON = -1, CKA_VALUE_LEN = 0x161 };

static void *ours[PLACES];
static void **theirs;

static long fault(const char *function)
{
    static long calls;
    const char *wanted = getenv("TOKEN_FAULT");
    size_t length = strlen(function);
    char *rest;
    long code, after;

    if (!wanted || strncmp(wanted, function, length) || wanted[length] != ':')
        return GOES_ON;
    code = strtol(wanted + length + 1, &rest, 16);
    after = *rest == ':' ? strtol(rest + 1, NULL, 10) : 0;
    return calls++ < after ? GOES_ON : code;
}

static word faulty_login(word session, word user, unsigned char *pin, word length)
{
    long code = fault("login");

    return code > 0 ? (word)code : ((login_f)theirs[C_Login])(session, user, pin, length);
}

static word faulty_sign(word session, unsigned char *data, word length, unsigned char *out,
                        word *out_length)
{
    long code = out ? fault("sign") : GOES_ON; /* without, it asks for the length alone */
    word result;

    if (code > 0)
        return (word)code;
    result = ((sign_f)theirs[C_Sign])(session, data, length, out, out_length);
    if (!code && !result)
        out[*out_length - 1] ^= 1;
    return result;
}

static word faulty_derive(word session, void *mechanism, word base, struct attribute *attributes,
                          word count, word *key)
{
    long code = fault("derive");
    word place;

    if (code > 0)
        return (word)code;
    for (place = 0; !code && place < count; place++)
        if (attributes[place].type == CKA_VALUE_LEN)
            *(word *)attributes[place].value = 16;
    return ((derive_f)theirs[C_DeriveKey])(session, mechanism, base, attributes, count, key);
}

static word faulty_tokens(unsigned char present, word *slots, word *count)
{
    long code = fault("tokens");

    return code > 0 ? (word)code : ((tokens_f)theirs[C_GetSlotList])(present, slots, count);
}

word C_GetFunctionList(void ***list)
{
    const char *path = getenv("TOKEN_MODULE");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    list_f get = module ? (list_f)dlsym(module, "C_GetFunctionList") : NULL;

    if (!get || get(&theirs))
        return 5; /* CKR_GENERAL_ERROR */
    memcpy(ours, theirs, sizeof ours);
    ours[C_GetSlotList] = (void *)faulty_tokens;
    ours[C_Login] = (void *)faulty_login;
    ours[C_Sign] = (void *)faulty_sign;
    ours[C_DeriveKey] = (void *)faulty_derive;
    *list = ours;
    return 0;
}
