// 3x3 convolutions with zeros around, of channels-last images, by Winograd's minimal filtering F(4x4, 3x3).
//
// Sixteen pixels of a result cost 36 products a pair of channels in place of 144. Images are cut into tiles of 4x4
// pixels; a tile with what surrounds it, 6x6, becomes 36 values a channel, as a kernel does, and the same one of the 36
// of all tiles is a matrix that the kernel's multiplies. A block of tiles goes all the way before the next one is begun.
// Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3.
//
// Channels of images are a multiple of 16, those of results of 32. Follows cpu.cpp.

namespace {

constexpr long points = 36, side = 6, inner = 4;
constexpr long block = 32;  // tiles; 16 to 128 are equally fast

// The three transforms of one row or column: of a tile of images, of the 36 values of a result, and the latter's
// transpose. Values lie `from` apart and are left `to` apart.
inline void of_images(const vec* d, long from, vec* found, long to) {
  const vec d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from];
  const vec even = d4 - 4 * d2, odd = d3 - 4 * d1, near = d4 - d2, far = 2 * (d3 - d1);
  found[0] = 4 * d[0] - 5 * d2 + d4;
  found[to] = even + odd;
  found[2 * to] = even - odd;
  found[3 * to] = near + far;
  found[4 * to] = near - far;
  found[5 * to] = 4 * d1 - 5 * d3 + d[5 * from];
}

inline void of_products(const vec* m, long from, vec* found, long to) {
  const vec m1 = m[from], m2 = m[2 * from], m3 = m[3 * from], m4 = m[4 * from];
  const vec sum = m1 + m2, difference = m1 - m2, far_sum = m3 + m4, far_difference = m3 - m4;
  found[0] = m[0] + sum + far_sum;
  found[to] = difference + 2 * far_difference;
  found[2 * to] = sum + 4 * far_sum;
  found[3 * to] = difference + 8 * far_difference + m[5 * from];
}

inline void of_gradients(const vec* y, long from, vec* found, long to) {
  const vec y1 = y[from], y2 = y[2 * from], y3 = y[3 * from];
  const vec even = y[0] + y2, odd = y1 + y3, far_even = y[0] + 4 * y2, far_odd = 2 * y1 + 8 * y3;
  found[0] = y[0];
  found[to] = even + odd;
  found[2 * to] = even - odd;
  found[3 * to] = far_even + far_odd;
  found[4 * to] = far_even - far_odd;
  found[5 * to] = y3;
}

// Images cut into tiles.
struct Grid {
  long height, width, down, across, tiles;

  Grid(long count, long h, long w) : height(h), width(w), down((h + 3) / 4), across((w + 3) / 4) {
    tiles = count * down * across;
  }

  long blocks() const { return (tiles + block - 1) / block; }

  // Where in `images` the pixel (row, column) of a tile begins; `outside` where there is none.
  template <typename value>
  value* at(value* images, long channels, long tile, long row, long column, value* outside) const {
    const long image = tile / across / down;
    const long i = tile / across % down * 4 + row, j = tile % across * 4 + column;
    if (i < 0 || j < 0 || i >= height || j >= width) return outside;
    return images + ((image * height + i) * width + j) * channels;
  }
};

// A tile of `size` x `size` pixels into its 36 values, each in a matrix of its own [block, channels] of `found`.
template <long size, long before, void (*transform)(const vec*, long, vec*, long)>
void spread(const Grid& grid, const real* images, long channels, long first, long count, const real* zeros, real* found) {
  for (long t = 0; t < count; ++t) {
    const real* pixels[size * size];
    for (long k = 0; k < size * size; ++k)
      pixels[k] = grid.at(images, channels, first + t, k / size - before, k % size - before, zeros);
    for (long c = 0; c < channels; c += lanes) {
      vec given[size * size], half[side * size], whole[side];
#pragma GCC unroll 36
      for (long k = 0; k < size * size; ++k) given[k] = load(pixels[k] + c);
#pragma GCC unroll 6
      for (long j = 0; j < size; ++j) transform(given + j, size, half + j, size);
#pragma GCC unroll 6
      for (long i = 0; i < side; ++i) {
        transform(half + i * size, 1, whole, 1);
#pragma GCC unroll 6
        for (long j = 0; j < side; ++j) store(found + ((side * i + j) * block + t) * channels + c, whole[j]);
      }
    }
  }
}

// Pixels of the results from their 36 values.
void gather(const Grid& grid, const real* values, long channels, long first, long count, real* spare, real* planes) {
  for (long t = 0; t < count; ++t) {
    real* pixels[inner * inner];
    for (long k = 0; k < inner * inner; ++k)
      pixels[k] = grid.at(planes, channels, first + t, k / inner, k % inner, spare);
    for (long c = 0; c < channels; c += lanes) {
      vec given[points], half[inner * side], whole[inner];
#pragma GCC unroll 36
      for (long k = 0; k < points; ++k) given[k] = load(values + (k * block + t) * channels + c);
#pragma GCC unroll 6
      for (long j = 0; j < side; ++j) of_products(given + j, side, half + j, side);
#pragma GCC unroll 4
      for (long i = 0; i < inner; ++i) {
        of_products(half + i * side, 1, whole, 1);
#pragma GCC unroll 4
        for (long j = 0; j < inner; ++j) store(pixels[inner * i + j] + c, whole[j]);
      }
    }
  }
}

thread_local Room left_room, right_room, zeros_room, spare_room;

}  // namespace

// How many threads can have a share of the work.
extern "C" long shares(long n, long h, long w, long threads) {
  return std::clamp(Grid(n, h, w).blocks(), 1L, threads);
}

// planes [n, h, w, out] of images [n, h, w, in] and kernels [36, in, out].
extern "C" void convolve(const real* images, const real* kernels, real* planes, long n, long h, long w, long in,
                         long out, long threads) {
  const Grid grid(n, h, w);
#pragma omp parallel num_threads(threads)
  {
    real *left = left_room.of(points * block * in), *right = right_room.of(points * block * out);
    const real* zeros = zeros_room.of(in);
    real* spare = spare_room.of(out);
#pragma omp for schedule(static)
    for (long first = 0; first < grid.tiles; first += block) {
      const long count = std::min(block, grid.tiles - first), padded = (count + rows - 1) / rows * rows;
      spread<side, 1, of_images>(grid, images, in, first, count, zeros, left);
      for (long k = 0; k < points; ++k)
        product(padded, out, in, left + k * block * in, in, 1, kernels + k * in * out, right + k * block * out, false);
      gather(grid, right, out, first, count, spare, planes);
    }
  }
}

// Gradient `found` [36, in, out] in the kernels, of that in planes. Every thread sums its own share, all but the first
// in `partial` [threads - 1, 36, in, out]; the shares are added in their order.
extern "C" void kernel_gradient(const real* images, const real* planes, real* found, real* partial, long n, long h,
                                long w, long in, long out, long threads) {
  const Grid grid(n, h, w);
  const long size = points * in * out;
#pragma omp parallel num_threads(threads)
  {
    real *left = left_room.of(points * block * in), *right = right_room.of(points * block * out);
    const real* zeros = zeros_room.of(std::max(in, out));
    const long thread = omp_get_thread_num();
    real* own = thread ? partial + (thread - 1) * size : found;
    bool begun = false;
#pragma omp for schedule(static)
    for (long first = 0; first < grid.tiles; first += block) {
      const long count = std::min(block, grid.tiles - first);
      spread<side, 1, of_images>(grid, images, in, first, count, zeros, left);
      spread<inner, 0, of_gradients>(grid, planes, out, first, count, zeros, right);
      for (long k = 0; k < points; ++k)
        product(in, out, count, left + k * block * in, 1, in, right + k * block * out, own + k * in * out, begun);
      begun = true;
    }
    if (!begun) std::fill(own, own + size, real(0));
#pragma omp barrier
    const long shares = omp_get_num_threads() - 1;
#pragma omp for schedule(static)
    for (long i = 0; i < size; ++i)
      for (long share = 0; share < shares; ++share) found[i] += partial[share * size + i];
  }
}
