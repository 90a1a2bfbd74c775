// Gradients in the pixels of images of few channels, of gradients of many in what two kernels made of them: summed before
// they are added up where windows overlap. Follows cpu.cpp. The width is a multiple of 8.

namespace {

thread_local Room shares_room, padded_room;

}  // namespace

// found [n, in, h, w] of gradients [n, h, w, out] and kernels [out, wide], of which 9 x in columns count, channels last.
extern "C" void gradient_in_pixels(const real* one, const real* other, const real* one_kernel, const real* other_kernel,
                                   real* found, long n, long h, long w, long in, long out, long wide, long threads) {
  const long across = (w + 2) * in, window = 3 * in;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (long image = 0; image < n; ++image) {
    real *shares = shares_room.of(w * wide), *padded = padded_room.of((h + 2) * across);
    std::fill(padded, padded + (h + 2) * across, real(0));
    for (long i = 0; i < h; ++i) {
      const long first = (image * h + i) * w * out;
      product(w, wide, out, one + first, out, 1, one_kernel, shares, false);
      product(w, wide, out, other + first, out, 1, other_kernel, shares, true);
      for (long row = 0; row < 3; ++row)
        for (long j = 0; j < w; ++j)
          for (long k = 0; k < window; ++k)
            padded[(i + row) * across + j * in + k] += shares[j * wide + row * window + k];
    }
    real* pixels = found + image * in * h * w;
    for (long c = 0; c < in; ++c)
      for (long i = 0; i < h; ++i)
        for (long j = 0; j < w; ++j) pixels[(c * h + i) * w + j] = padded[(i + 1) * across + (j + 1) * in + c];
  }
}
