package netns_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// Each namespace has a number of its own.
func TestCookie(t *testing.T) {
	seen := make(map[uint64]string)
	for _, path := range []string{"", netnstest.New(t), netnstest.New(t)} {
		cookie, err := netns.Cookie(path)
		if errors.Is(err, unix.ENOPROTOOPT) {
			t.Skip("the kernel has no SO_NETNS_COOKIE (Linux 5.14)")
		}
		again, againErr := netns.Cookie(path)
		if err != nil || againErr != nil || cookie == 0 || again != cookie {
			t.Errorf("%q: %d, %v; again %d, %v", path, cookie, err, again, againErr)
		}
		if other, ok := seen[cookie]; ok {
			t.Errorf("%q has the number of %q", path, other)
		}
		seen[cookie] = path
	}
}
