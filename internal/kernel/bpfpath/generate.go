package bpfpath

// The object is committed, so that a build needs no C compiler. It is the output of clang 14, which
// is Debian 12's.
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -go-package bpfpath -output-suffix _generated -target bpfel -type address -type network -type port -type source -type station -type remote -type tunnel -type tunnel_end -type hop -type wireguard_end -type place -type owner -type counters programs programs/fastpath.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror
