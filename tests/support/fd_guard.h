/*
 * support/fd_guard.h - fails the test that ends with other descriptors than it began with.
 *
 * Make it before, and let it go after, everything that opens descriptors: as the first member of a
 * fixture, or the first variable of a test.
 */
#ifndef SKUA_TESTS_FD_GUARD_H
#define SKUA_TESTS_FD_GUARD_H

#include <gtest/gtest.h>

#include <dirent.h>
#include <map>
#include <string>
#include <unistd.h>

namespace skua_test
{

/*
 * Open descriptors and what they are, as /proc/self/fd tells; without the one that reads it, those
 * that are gone when they are looked at, and the one by which a runtime's monitor looks at a thread
 * (platform/thread_look.h).
 */
inline std::map<int, std::string> openDescriptors()
{
    std::map<int, std::string> found;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return found;
    while (const dirent *entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = std::stoi(entry->d_name);
        if (fd == dirfd(dir))
            continue;
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
        if (n <= 0)
            continue;
        std::string what(target, static_cast<size_t>(n));
        if (what.rfind("/proc/", 0) != 0 || what.find("/syscall") == std::string::npos)
            found[fd] = what;
    }
    closedir(dir);
    return found;
}

class FdGuard
{
  public:
    FdGuard() : before_(openDescriptors())
    {
    }
    FdGuard(const FdGuard &) = delete;
    FdGuard &operator=(const FdGuard &) = delete;

    ~FdGuard()
    {
        std::map<int, std::string> after = openDescriptors();
        for (const auto &open : after)
            EXPECT_EQ(before_.count(open.first), 1u)
                << "leaked descriptor " << open.first << ": " << open.second;
        for (const auto &open : before_)
            EXPECT_EQ(after.count(open.first), 1u)
                << "somebody else's descriptor was closed: " << open.first << ": " << open.second;
    }

  private:
    const std::map<int, std::string> before_;
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_FD_GUARD_H */
