package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// What an rpm says of its archive is true of the one with relative names, and a file that is cut off is an error.
func TestRelativeNames(t *testing.T) {
	b := newQuickBuild(t)
	if err := b.writePackage("rpm", "amd64"); err != nil {
		t.Fatal(err)
	}
	rpm, err := os.ReadFile(filepath.Join(b.out, "vxlan-driver-1.2.3-1.x86_64.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := cutHeader(rpm[rpmLeadLen:])
	if err != nil {
		t.Fatal(err)
	}
	rest := rpm[rpmLeadLen+(len(signatures)+7)/8*8:]
	header, err := cutHeader(rest)
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unzip.Close()
	archive, err := unzip.DecodeAll(rest[len(header):], nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, found := range map[string]bool{
		"digest of the header":  bytes.Contains(signatures, append(hexDigest(header), 0)),
		"size":                  bytes.Contains(signatures, binary.BigEndian.AppendUint32(nil, uint32(len(rest)))),
		"size of the archive":   bytes.Contains(signatures, binary.BigEndian.AppendUint32(nil, uint32(len(archive)))),
		"digest of the archive": bytes.Contains(header, append(hexDigest(rest[len(header):]), 0)),
	} {
		if !found {
			t.Errorf("%s: the rpm says another one", what)
		}
	}
	for n := 0; n < len(rpm); n += 1 + n/50 {
		if _, err := withRelativeNames(bytes.Clone(rpm[:n])); err == nil {
			t.Errorf("an rpm that is cut off after %d of %d bytes is taken", n, len(rpm))
		}
	}
}
