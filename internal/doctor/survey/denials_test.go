package survey

import (
	"testing"
	"time"
)

func TestParseDenials(t *testing.T) {
	const text = `<5>[   99.1] audit: type=1400 audit(1700000000.123:45): avc:  denied  { write } for  pid=9 comm="vxland" name="lock" scontext=a tcontext=b tclass=file permissive=0
type=AVC msg=audit(1700000100.123:46): avc:  denied  { read } for  pid=9 comm="vxland" name="new" scontext=a tcontext=b tclass=file permissive=0
type=AVC msg=audit(1700000100.123:47): avc:  denied  { read } for  pid=9 comm="nginx" name="x" permissive=0
type=AVC msg=audit(1700000100.123:48): avc:  denied  { read } for  pid=9 comm="vxlanctl" name="x" permissive=1
[  100.0] audit: type=1400 audit(1700000100.5:49): apparmor="DENIED" operation="open" class="file" profile="podman" name="/run/vxlan" pid=7 comm="netavark" requested_mask="r"
[  100.0] audit: type=1400 audit(1700000100.5:50): apparmor="ALLOWED" operation="open" profile="podman" comm="vxlan"
`
	found := ParseDenials(text, time.Unix(1_700_000_200, 0))
	if len(found) != 2 || found[0].By != "SELinux" || found[0].Program != "vxland" || len(found[0].Mend) != 2 {
		t.Fatalf("%+v", found)
	}
	if d := found[1]; d.By != "AppArmor" || d.Program != "netavark" || d.Mend[0] != "aa-complain podman   # or allow it in the profile" {
		t.Errorf("%+v", d)
	}
	if found := ParseDenials(text, time.Unix(1_700_009_000, 0)); found != nil {
		t.Errorf("of hours ago: %+v", found)
	}
}
