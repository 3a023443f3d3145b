/* A name server that a trial can stop. Preloaded into a server (LD_PRELOAD).
 *
 * While the file RESOLVER_HANGS exists, no look-up of a name comes back; addresses need none. For
 * glibc on Linux.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static bool is_address(const char *node)
{
    unsigned char address[16];
    return inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1;
}

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
    static __typeof__(&getaddrinfo) real;
    const char *file = getenv("RESOLVER_HANGS");
    const struct timespec moment = {0, 20000000};
    if (real == NULL)
        real = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");
    if (file != NULL && node != NULL && !is_address(node))
        while (access(file, F_OK) == 0)
            nanosleep(&moment, NULL);
    return real(node, service, hints, result);
}
