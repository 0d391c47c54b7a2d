package store

import (
	"errors"
	"io/fs"
	"testing"

	"vxlan-driver/internal/network"
)

// A record that is replaced, within a clock tick too, or removed is not the one that was read.
func TestTheCacheFollowsTheFiles(t *testing.T) {
	dir, cache := t.TempDir(), new(Cache)
	for i := range 50 {
		s, err := OpenCached(dir, cache)
		if err != nil {
			t.Fatal(err)
		}
		want := network.Endpoint{ContainerID: "c1", ContainerName: string(rune('a' + i%26))}
		if err := s.Put("n1", []byte("{}"), vtep, Record{Endpoint: want}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := s.Record("n1", "c1"); err != nil || got.ContainerName != want.ContainerName {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
		}
		if i%10 == 0 {
			if err := s.Remove("n1", "c1"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Record("n1", "c1"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("got %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(cache.records) != 1 {
		t.Errorf("%d records are kept", len(cache.records))
	}
}
