package router

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// octets reads hexadecimal digits, which may be grouped.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	gateway = netip.MustParseAddr("fe80::1%eth0")
	compare = cmp.Options{
		cmp.AllowUnexported(advertisement{}, prefix{}, resolver{}, domain{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
)

func TestParse(t *testing.T) {
	const head = "86 00 0000 40 00 0708 00000000 00000000 " // lifetime 1800 s
	plain := advertisement{router: gateway, lifetime: 30 * time.Minute}
	with := func(change func(*advertisement)) advertisement {
		ad := plain
		change(&ad)
		return ad
	}
	for _, tt := range []struct {
		name string
		in   string
		want advertisement
	}{
		{"no options", head, plain},
		{"managed", "86 00 0000 40 80 0708 00000000 00000000", with(func(ad *advertisement) { ad.managed = true })},
		{"other, and no default router",
			"86 00 0000 40 40 0000 00000000 00000000", with(func(ad *advertisement) { ad.other, ad.lifetime = true, 0 })},
		{"prefix to make addresses of", head + "03 04 40 c0 00000e10 00000708 00000000 20010db8000000010000000000000000",
			with(func(ad *advertisement) {
				ad.prefixes = []prefix{{netip.MustParsePrefix("2001:db8:0:1::/64"), true, time.Hour}}
			})},
		{"prefix with host bits that is not to make addresses of",
			head + "03 04 40 80 ffffffff ffffffff 00000000 20010db800000001000000000000abcd",
			with(func(ad *advertisement) {
				ad.prefixes = []prefix{{netip.MustParsePrefix("2001:db8:0:1::/64"), false, (1<<32 - 1) * time.Second}}
			})},
		{"prefix longer than an address", head + "03 04 81 c0 00000e10 00000708 00000000 20010db8000000010000000000000000", plain},
		{"two resolvers, one on the link", head + "19 05 0000 00000078 20010db8000000000000000000000053 fe800000000000000000000000000001",
			with(func(ad *advertisement) {
				ad.resolvers = []resolver{{netip.MustParseAddr("2001:db8::53"), 2 * time.Minute}, {gateway, 2 * time.Minute}}
			})},
		{"resolvers that are none",
			head + "19 07 0000 00000078 00000000000000000000000000000000 ff020000000000000000000000000001 00000000000000000000000000000001", plain},
		{"resolver that is taken back", head + "19 03 0000 00000000 20010db8000000000000000000000053",
			with(func(ad *advertisement) { ad.resolvers = []resolver{{netip.MustParseAddr("2001:db8::53"), 0}} })},
		{"half a resolver", head + "19 02 0000 00000078 20010db800000000", plain},
		{"search list", head + "1f 04 0000 00000078 01 61 07 6578616d706c65 00 01 62 00 00000000000000000000",
			with(func(ad *advertisement) {
				ad.search = []domain{{"a.example", 2 * time.Minute}, {"b", 2 * time.Minute}}
			})},
		{"search list with a line of its own for resolv.conf", head + "1f 03 0000 00000078 0c 610a6e616d6573657276 6572 00 0000", plain},
		{"search list whose label is longer than the option", head + "1f 02 0000 00000078 01 61 00 3f 61 00 0000",
			with(func(ad *advertisement) { ad.search = []domain{{"a", 2 * time.Minute}} })},
		{"other options", head + "01 01 020000000001 05 01 0000 000005dc", plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(octets(t, tt.in), gateway, 255)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Errorf("parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseInvalid(t *testing.T) {
	const head = "86 00 0000 40 00 0708 00000000 00000000 "
	for _, tt := range []struct {
		name, in, source string
		hopLimit         int
	}{
		{"empty", "", "fe80::1", 255},
		{"too short", "86 00 0000 40 00 0708 00000000 000000", "fe80::1", 255},
		{"solicitation", "85 00 0000 40 00 0708 00000000 00000000", "fe80::1", 255},
		{"code", "86 01 0000 40 00 0708 00000000 00000000", "fe80::1", 255},
		{"from beyond a router", head, "fe80::1", 254},
		{"hop limit unknown", head, "fe80::1", -1},
		{"from a global address", head, "2001:db8::1", 255},
		{"option without length", head + "01 00 000000000000", "fe80::1", 255},
		{"option longer than the message", head + "01 02 000000000000", "fe80::1", 255},
		{"rest", head + "01", "fe80::1", 255},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if ad, err := parse(octets(t, tt.in), netip.MustParseAddr(tt.source), tt.hopLimit); err == nil {
				t.Errorf("parse = %+v, want an error", ad)
			}
		})
	}
}

// FuzzParse: whatever comes, there is no panic, and what is found can be used as it is.
func FuzzParse(f *testing.F) {
	const head = "8600000040c0070800000000 00000000"
	for _, option := range []string{
		"", "030440c000000e10000007080000000020010db8000000010000000000000000", "19030000000000782001 0db8000000000000000000000053",
		"1f0400000000007801610765 78616d706c6500016200 00000000000000000000",
	} {
		f.Add(octets(f, head+option))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ad, err := parse(b, gateway, 255)
		if err != nil {
			return
		}
		for _, p := range ad.prefixes {
			if !p.IsValid() || p.Prefix != p.Masked() {
				t.Errorf("the prefix %v is none", p.Prefix)
			}
		}
		for _, r := range ad.resolvers {
			if !r.address.IsGlobalUnicast() && r.address.Zone() == "" {
				t.Errorf("the resolver %v cannot be asked", r.address)
			}
		}
		for _, d := range ad.search {
			if !IsDomain(d.name) {
				t.Errorf("the domain %q is none", d.name)
			}
		}
	})
}

func TestIsDomain(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want bool
	}{
		{"example.org", true}, {"a", true}, {"_sip.X-1.example", true}, {strings.Repeat("a", 63) + ".b", true},
		{"", false}, {".", false}, {"a..b", false}, {"a.", false}, {"a b", false}, {"a\nnameserver 192.0.2.1", false}, {"ä.example", false},
		{strings.Repeat("a", 64), false}, {strings.Repeat("a.", 126) + "aa", false},
	} {
		if got := IsDomain(tt.in); got != tt.want {
			t.Errorf("IsDomain(%q) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestSolicitation(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, tt := range []struct{ name, source, want string }{
		{"without an address", "::", "60000000 0008 3aff 00000000000000000000000000000000 ff020000000000000000000000000002 8500 7bb8 00000000"},
		{"with one", "fe80::ff:fe00:1", "60000000 0010 3aff fe8000000000000000 0000fffe000001 ff020000000000000000000000000002" +
			"8500 7b2c 00000000 0101 020000000001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := solicitation(netip.MustParseAddr(tt.source), mac)
			if want := octets(t, tt.want); !cmp.Equal(got, want) {
				t.Errorf("solicitation(%v) = %x, want %x", tt.source, got, want)
			}
			// Over message and pseudo-header together the sum is that of a right checksum.
			sum := uint32(len(got)-ipv6HeaderSize) + protocolICMPv6
			for i := 8; i < len(got); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(got[i:]))
			}
			if sum = sum>>16 + sum&0xffff; sum != 0xffff {
				t.Errorf("the checksum of %x is wrong: the sum is %#x, want 0xffff", got, sum)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	for i, want := range []time.Duration{1, 2, 4, 8, 8, 8} {
		want *= time.Second
		for range 100 {
			if got := backoff(i + 1); got < want*9/10 || got > want*11/10 {
				t.Fatalf("backoff(%d) = %v, want %v, a tenth more or less", i+1, got, want)
			}
		}
	}
}
