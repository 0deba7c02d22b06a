/*
 * support/temp_dir.h - a directory of the test's own, removed with all it holds when the test ends.
 */
#ifndef SKUA_TESTS_TEMP_DIR_H
#define SKUA_TESTS_TEMP_DIR_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <ftw.h>
#include <sstream>
#include <string>

namespace skua_test
{

class TempDir
{
  public:
    /* Below @parent, or where temporary files belong. */
    explicit TempDir(const std::string &parent = testing::TempDir())
    {
        std::string name = parent + "/skua_test.XXXXXX";
        if (mkdtemp(&name[0]))
            path_ = name;
        else
            ADD_FAILURE() << "cannot make a directory in " << parent;
    }
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;

    ~TempDir()
    {
        if (!path_.empty())
            nftw(path_.c_str(), removeEntry, 16, FTW_DEPTH | FTW_PHYS);
    }

    const std::string &path() const
    {
        return path_;
    }

    std::string file(const std::string &name) const
    {
        return path_ + "/" + name;
    }

  private:
    static int removeEntry(const char *path, const struct stat *, int, struct FTW *)
    {
        return std::remove(path);
    }

    std::string path_;
};

/* Whole files, without the library under test. */
inline void writeFile(const std::string &path, const std::string &contents)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
    EXPECT_TRUE(file.flush().good()) << path;
}

inline std::string readFile(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file.is_open()) << path;
    std::ostringstream bytes;
    bytes << file.rdbuf(); /* in blocks: tests read megabytes, unoptimised and sanitized */
    return bytes.str();
}

/* Bytes that tell where they belong. */
inline std::string pattern(size_t size)
{
    constexpr size_t kPeriod = 65537; /* prime: no two chunks are alike */
    std::string bytes(size, '\0');
    char *to = bytes.data();
    for (size_t i = 0; i < std::min(size, kPeriod); i++)
        to[i] = static_cast<char>((i * 2654435761u) >> 13);
    for (size_t at = kPeriod; at < size; at += kPeriod)
        std::memcpy(to + at, to, std::min(size - at, kPeriod));
    return bytes;
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_TEMP_DIR_H */
