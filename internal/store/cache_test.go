package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/network"
)

// A record that is replaced, within a clock tick too, or removed is not the one that was read; one
// that stays is.
func TestCacheFollowsTheFiles(t *testing.T) {
	dir, cache := t.TempDir(), new(Cache)
	var stays *Record
	for i := range 50 {
		s, err := OpenCached(dir, cache, nil)
		if err != nil {
			t.Fatal(err)
		}
		put := func(id, name string) {
			t.Helper()
			if err := s.PutEndpoint("n1", []byte("{}"), vtep, Record{Endpoint: network.Endpoint{ContainerID: id, ContainerName: name}}); err != nil {
				t.Fatal(err)
			}
		}
		read := func(want ...string) []*Record {
			t.Helper()
			all, err := s.Records("n1")
			var got []string
			for _, r := range all {
				got = append(got, r.ContainerName)
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
			return all
		}
		if i == 0 {
			put("c2", "stays")
			stays = read("stays")[0]
		}
		name := string(rune('a' + i%26))
		put("c1", name)
		for range 2 {
			if all := read(name, "stays"); all[1] != stays {
				t.Fatal("one that was not replaced was read again")
			}
		}
		if i%10 == 0 {
			if err := s.RemoveEndpoint("n1", "c1"); err != nil {
				t.Fatal(err)
			}
			read("stays")
			if n := len(cache.networks["n1"]); n != 1 {
				t.Errorf("%d records are kept", n)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Of a network that is gone nothing is kept.
// Who trusts directories reads one again only after it was written to, by whomever, and never relies on one
// that was written to just now.
func TestCacheTrustsDirectories(t *testing.T) {
	dir, cache := t.TempDir(), new(Cache)
	s, err := OpenCached(dir, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(id, name string) {
		t.Helper()
		r := Record{Endpoint: network.Endpoint{ContainerID: id, ContainerName: name}}
		if err := (&Store{dir: dir}).PutEndpoint("n1", []byte("{}"), vtep, r); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, names ...string) {
		t.Helper()
		all, err := s.Records("n1")
		var got []string
		for _, r := range all {
			got = append(got, r.ContainerName)
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(names) {
			t.Errorf("%s: got %v, %v, want %v", when, got, err, names)
		}
		if has, err := s.HasEndpointsExcept("n1", ""); has != (len(names) > 0) || err != nil {
			t.Errorf("%s: any: %v, %v", when, has, err)
		}
	}
	edit := func(text string) {
		t.Helper()
		path := s.recordPath("n1", "c1")
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(data), "first", text)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.TrustDirs(true)
	put("c1", "first")
	want("just now", "first")
	edit("other")
	want("edited just now", "other")
	put("c1", "first")
	time.Sleep(2 * clockTick)
	want("before", "first")
	edit("other")
	want("trusted", "first")
	s.TrustDirs(false)
	want("not trusted", "other")
	s.TrustDirs(true)
	put("c2", "second")
	want("one came", "other", "second")
	time.Sleep(2 * clockTick)
	want("two", "other", "second")
	if err := (&Store{dir: dir}).RemoveEndpoint("n1", "c2"); err != nil {
		t.Fatal(err)
	}
	want("one went", "other")
	time.Sleep(2 * clockTick)
	want("one", "other")
	if err := (&Store{dir: dir}).RemoveEndpoint("n1", "c1"); err != nil {
		t.Fatal(err)
	}
	want("none")
}

func TestCacheForgetsNetworks(t *testing.T) {
	cache := new(Cache)
	s, err := OpenCached(t.TempDir(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"n1", "n2"} {
		if err := s.PutEndpoint(id, []byte("{}"), vtep, Record{Endpoint: network.Endpoint{ContainerID: "c1"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Records(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemoveEndpoint("n1", "c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Networks(); err != nil {
		t.Fatal(err)
	}
	if len(cache.networks) != 1 || cache.networks["n2"] == nil {
		t.Errorf("kept %v", cache.networks)
	}
}

// The order is that of the ids, whatever that of the files' names is.
func TestRecordsAreInOrder(t *testing.T) {
	s := open(t, t.TempDir())
	for _, id := range []string{"web-1", "web", "a"} {
		if err := s.PutEndpoint("n1", []byte("{}"), vtep, Record{Endpoint: network.Endpoint{ContainerID: id}}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Records("n1")
	if err != nil || len(all) != 3 || all[0].ContainerID != "a" || all[1].ContainerID != "web" || all[2].ContainerID != "web-1" {
		t.Errorf("got %v, %v", all, err)
	}
}

// What can be read counts, and of the rest it is told which it is.
func TestRecordsThatCannotBeRead(t *testing.T) {
	s := open(t, t.TempDir())
	for _, id := range []string{"c1", "c2"} {
		if err := s.PutEndpoint("n1", []byte("{}"), vtep, Record{Endpoint: network.Endpoint{ContainerID: id}}); err != nil {
			t.Fatal(err)
		}
	}
	broken := filepath.Join(s.endpointsDir("n1"), "c1.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.Records("n1")
	if len(all) != 1 || all[0].ContainerID != "c2" || err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("got %v, %v", all, err)
	}
}
