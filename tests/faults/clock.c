/* Shifts the wall clock of a program, so that faults/clocks.py can let it jump.
 *
 * Preloaded into all processes of a machine (LD_PRELOAD). The shared file CLOCK_FILE holds by how many
 * nanoseconds the clock is ahead. The monotonic clocks go on as they are. For glibc on 64-bit Linux.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const _Atomic int64_t *shift;

/* The C library's own function. */
#define REAL(name)                                                            \
    (*({                                                                      \
        static __typeof__(&name) real;                                        \
        if (real == NULL)                                                     \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                \
        real;                                                                 \
    }))

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("CLOCK_FILE");
    if (file == NULL)
        return;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        abort();
    void *memory = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        abort();
    close(fd);
    shift = memory;
}

static bool is_wall_clock(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && shift != NULL && is_wall_clock(clock)) {
        int64_t moment = now->tv_sec * SECOND + now->tv_nsec + atomic_load(shift);
        now->tv_sec = moment / SECOND;
        now->tv_nsec = moment % SECOND;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec moment;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &moment) != 0)
        return -1;
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec moment;
    if (clock_gettime(CLOCK_REALTIME, &moment) != 0)
        return -1;
    if (result != NULL)
        *result = moment.tv_sec;
    return moment.tv_sec;
}
