package diagnosis

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryCodeIsExplained(t *testing.T) {
	form := regexp.MustCompile(`^VX(0[1-9]|10)[0-9]{2}$`)
	var before Code
	ids := make(map[string]Code)
	for _, e := range Entries() {
		m := form.FindStringSubmatch(string(e.Code))
		if m == nil || !slices.ContainsFunc(groups, func(g struct{ digits, title string }) bool { return g.digits == m[1] }) {
			t.Errorf("%s is of no group", e.Code)
		}
		if e.Code <= before {
			t.Errorf("%s comes after %s", e.Code, before)
		}
		before = e.Code
		if e.Title == "" || e.Meaning == "" || len(e.Causes) == 0 || len(e.Mends) == 0 {
			t.Errorf("%s lacks a text: %+v", e.Code, e)
		}
		for _, text := range slices.Concat([]string{e.Meaning}, e.Causes, e.Mends) {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", e.Code, text)
			}
		}
		if other := ids[e.Code.MessageID()]; other != "" {
			t.Errorf("%s and %s have one message ID", e.Code, other)
		}
		ids[e.Code.MessageID()] = e.Code
	}
	if _, known := Explain("vx0301"); !known {
		t.Error("a code in small letters is not known")
	}
	if _, known := Explain("VX9999"); known {
		t.Error("VX9999 is known")
	}
}

// Journals of hosts have the number for as long as they are kept.
func TestMessageIDStays(t *testing.T) {
	if id := TunnelBlocked.MessageID(); id != "5a3fa209f7ff40a39f4d943d926eef54" {
		t.Errorf("VX0301 has the message ID %s", id)
	}
}

func TestWorst(t *testing.T) {
	of := func(levels ...Level) (findings []Finding) {
		for _, l := range levels {
			findings = append(findings, Finding{Level: l})
		}
		return findings
	}
	tests := []struct {
		findings []Finding
		want     Level
	}{
		{nil, OK},
		{of(OK, Unknown), Unknown},
		{of(Unknown, Warning), Warning},
		{of(Warning, Failure, Unknown), Failure},
	}
	for _, tt := range tests {
		if got := Worst(tt.findings); got != tt.want {
			t.Errorf("worst of %v is %v", tt.findings, got)
		}
	}
}

func TestSortPutsCausesFirst(t *testing.T) {
	findings := []Finding{
		{Code: NamesUnanswered, Level: Failure}, {Code: KernelFeature, Level: Warning},
		{Code: TunnelBlocked, Level: Failure, Host: "b"}, {Code: TunnelBlocked, Level: Failure, Host: "a"},
	}
	Sort(findings)
	var got []string
	for _, f := range findings {
		got = append(got, string(f.Code)+f.Host)
	}
	if want := "VX0301a VX0301b VX0801 VX0101"; strings.Join(got, " ") != want {
		t.Errorf("sorted %v", got)
	}
}

func TestLevelInJSON(t *testing.T) {
	for l := OK; l <= Unknown; l++ {
		text, err := json.Marshal(Finding{Level: l})
		var back Finding
		if err := json.Unmarshal(text, &back); err != nil || back.Level != l {
			t.Errorf("%v became %v, %v", l, back.Level, err)
		}
		if err != nil || !strings.Contains(string(text), `"level":"`+l.String()+`"`) {
			t.Errorf("%s, %v", text, err)
		}
	}
	var newer Level
	if err := json.Unmarshal([]byte(`"catastrophe"`), &newer); err != nil || newer != Unknown {
		t.Errorf("a newer level is %v, %v", newer, err)
	}
}
