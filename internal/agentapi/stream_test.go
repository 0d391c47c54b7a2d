package agentapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"slices"
	"testing"
)

// What is written piece by piece is read as if it had been written at once.
func TestStreamIsReadAsAResponse(t *testing.T) {
	endpoints := []EndpointInventory{{Container: "web", Names: []string{`a"b`}}, {Container: "db"}}
	want := Response{Host: "a", Inventory: &Inventory{
		Networks: []NetworkInventory{
			{Name: "blue", Endpoints: endpoints, Names: []NameInventory{}}, {Name: "red", Endpoints: []EndpointInventory{}, Names: []NameInventory{{Name: "db"}}},
		},
		Elsewhere: []NetworkElsewhere{},
	}, Answer: json.RawMessage(`{"error":"x"}`)}
	streamed := Response{Stream: StreamFunc(func(w *ResponseWriter) {
		w.Fields(Response{Host: "a"})
		w.Object("inventory", func() {
			WriteObjects(w, "networks", want.Inventory.Networks, func(n NetworkInventory) {
				all := n
				n.Endpoints, n.Names = nil, nil
				w.Fields(n)
				WriteList(w, "endpoints", slices.Values(all.Endpoints))
				WriteList(w, "names", slices.Values(all.Names))
			})
			WriteObjects(w, "elsewhere", want.Inventory.Elsewhere, func(NetworkElsewhere) {})
		})
		w.JSON("answer", want.Answer)
	})}
	var text bytes.Buffer
	if err := streamed.Write(&text); err != nil {
		t.Fatal(err)
	}
	var got Response
	if err := json.Unmarshal(text.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, got %+v of %s", err, got, text.String())
	}
	text.Reset()
	if err := (Response{Stream: StreamFunc(func(w *ResponseWriter) { w.Fields(Response{}) })}).Write(&text); err != nil || text.String() != "{}\n" {
		t.Errorf("%v, nothing is written as %q", err, text.String())
	}
}

// brokenPipe takes some bytes, and no more.
type brokenPipe struct{ left int }

var errBroken = errors.New("broken")

func (p *brokenPipe) Write(data []byte) (int, error) {
	if p.left -= len(data); p.left < 0 {
		return 0, errBroken
	}
	return len(data), nil
}

// Once nobody reads, no more of a long list is made.
func TestStreamEndsWithItsReader(t *testing.T) {
	made := 0
	endless := func() iter.Seq[int] {
		return func(yield func(int) bool) {
			for made < 1e6 && yield(made) {
				made++
			}
		}
	}
	err := Response{Stream: StreamFunc(func(w *ResponseWriter) { WriteList(w, "list", endless()) })}.Write(&brokenPipe{left: 100_000})
	if !errors.Is(err, errBroken) || made > 100_000 {
		t.Errorf("got %v after %d items", err, made)
	}
}
