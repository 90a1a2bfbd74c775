// What the project's C++ for a CPU shares: vectors, a small matrix product, memory. The other files follow it in one
// unit. REAL is float or double. Everything is contiguous.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <omp.h>

namespace {

using real = REAL;

// Of a matrix product, `rows` x 2 vectors stay in registers; `rows` divides 8.
#if defined(__AVX512F__)
constexpr long bytes = 64, rows = 8;
#else
constexpr long bytes = 32, rows = 4;
#endif
constexpr long lanes = bytes / sizeof(real), columns = 2 * lanes;

typedef real vec __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));

inline vec load(const real* from) { return *reinterpret_cast<const vec*>(from); }
inline void store(real* to, vec value) { *reinterpret_cast<vec*>(to) = value; }

// c [rows, columns] of rows `n` apart becomes, or gains, a b: element (i, p) of a is a[i * a_row + p * a_step].
inline void corner(const real* a, long a_row, long a_step, const real* b, real* c, long n, long depth, bool gains) {
  vec sum[rows][2];
#pragma GCC unroll 8
  for (long i = 0; i < rows; ++i) {
    sum[i][0] = gains ? load(c + i * n) : vec{};
    sum[i][1] = gains ? load(c + i * n + lanes) : vec{};
  }
  for (long p = 0; p < depth; ++p) {
    const vec left = load(b + p * n), right = load(b + p * n + lanes);
#pragma GCC unroll 8
    for (long i = 0; i < rows; ++i) {
      const real factor = a[i * a_row + p * a_step];
      sum[i][0] += factor * left;
      sum[i][1] += factor * right;
    }
  }
#pragma GCC unroll 8
  for (long i = 0; i < rows; ++i) {
    store(c + i * n, sum[i][0]);
    store(c + i * n + lanes, sum[i][1]);
  }
}

// c [m, n] becomes, or gains, a [m, depth] b [depth, n]; m a multiple of `rows`, n of `columns`.
void product(long m, long n, long depth, const real* a, long a_row, long a_step, const real* b, real* c, bool gains) {
  for (long j = 0; j < n; j += columns)
    for (long i = 0; i < m; i += rows) corner(a + i * a_row, a_row, a_step, b + j, c + i * n + j, n, depth, gains);
}

// Memory of a thread, kept from call to call, on the border of a cache line, all zeros when it is made.
class Room {
 public:
  real* of(long size) {
    if (static_cast<long>(kept_.size()) < size + bytes) kept_.assign(size + bytes, real(0));
    return reinterpret_cast<real*>((reinterpret_cast<std::uintptr_t>(kept_.data()) + bytes - 1) / bytes * bytes);
  }

 private:
  std::vector<real> kept_;
};

}  // namespace
