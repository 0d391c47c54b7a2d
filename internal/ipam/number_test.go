package ipam

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The numbers are those that package math/big computes.
func TestNumbersAreThoseOfBig(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	toBig := func(n number) *big.Int {
		return new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(n.high), 64), new(big.Int).SetUint64(n.low))
	}
	mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	check := func(what string, got number, want *big.Int) {
		t.Helper()
		if want.And(want, mask).Cmp(toBig(got)) != 0 {
			t.Errorf("%s: got %s, want %s", what, toBig(got), want)
		}
	}
	for range 1000 {
		// Few bits are set, so that carries, borrows and equal halves are common.
		a, b := number{rnd.Uint64() & rnd.Uint64(), -uint64(rnd.IntN(2))}, number{-uint64(rnd.IntN(2)),
			rnd.Uint64() | rnd.Uint64()}
		by := uint(rnd.IntN(130))
		check("add", a.add(b), new(big.Int).Add(toBig(a), toBig(b)))
		check("subtract", a.subtract(b), new(big.Int).Sub(toBig(a), toBig(b)))
		check("shift left", b.shiftLeft(by), new(big.Int).Lsh(toBig(b), by))
		check("shift right", b.shiftRight(by), new(big.Int).Rsh(toBig(b), by))
		if got, want := a.compare(b), toBig(a).Cmp(toBig(b)); got != want {
			t.Errorf("%s against %s: %d", toBig(a), toBig(b), got)
		}
	}
}

func TestOffsetStaysInTheFamily(t *testing.T) {
	for a, want := range map[string]string{"10.0.0.255": "10.0.1.4", "fd00::ffff:ffff:ffff:ffff": "fd00::1:0:0:0:4",
		"::ffff:1.2.3.4": "::ffff:1.2.3.9"} {
		if got := addOffset(netip.MustParseAddr(a), number{0, 5}); got != netip.MustParseAddr(want) {
			t.Errorf("%s + 5 = %s, want %s", a, got, want)
		}
	}
	if got := distance(netip.MustParseAddr("10.0.0.250"), netip.MustParseAddr("10.0.1.4")); got != (number{0, 10}) {
		t.Errorf("distance %v", got)
	}
}
