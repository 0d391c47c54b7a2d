package store

import (
	"reflect"
	"testing"
	"time"

	"vxlan-driver/internal/network"
)

// A time of day that one process writes and another compares would be wrong after somebody has set
// the clock.
func TestNothingStoredIsATimeOfDay(t *testing.T) {
	if !hasTime(reflect.TypeFor[struct{ P []*struct{ T time.Time } }](), nil) {
		t.Fatal("a time is not found")
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Record](), reflect.TypeFor[network.VTEP]()} {
		if hasTime(typ, nil) {
			t.Errorf("%v has a time of day", typ)
		}
	}
}

func hasTime(t reflect.Type, above []reflect.Type) bool {
	for _, a := range above {
		if a == t {
			return false
		}
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return true
		}
		for i := range t.NumField() {
			if hasTime(t.Field(i).Type, above) {
				return true
			}
		}
	case reflect.Slice, reflect.Array, reflect.Pointer, reflect.Map:
		return hasTime(t.Elem(), above)
	}
	return false
}
