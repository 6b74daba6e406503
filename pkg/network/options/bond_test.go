package options

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/network"
)

func bond(name, ports, options string) network.Bond {
	b := network.Bond{Name: name, Ports: names(strings.Split(ports, ",")...)}
	for word := range strings.FieldsSeq(options) {
		option, value, _ := strings.Cut(word, "=")
		b.Options = append(b.Options, network.BondOption{Name: option, Value: value})
	}
	return b
}

func TestBond(t *testing.T) {
	none := network.Bond{}
	with := func(b network.Bond, mtu int) network.Bond {
		b.MTU = mtu
		return b
	}
	check(t, "Bond", Bond, []test[network.Bond]{
		{"default", "", bond("bond0", "eth0,eth1", "mode=balance-rr"), ""},
		{"name", "bond1", bond("bond1", "eth0,eth1", ""), ""},
		{"ports", "bond1:ens1,ens2,ens3", bond("bond1", "ens1,ens2,ens3", ""), ""},
		{"by name", "bond0:eth0,eth1:mode=802.3ad,miimon=50,lacp_rate=fast", bond("bond0", "eth0,eth1", "mode=802.3ad miimon=50 lacp_rate=fast"), ""},
		{"by number", "bond0:eth0,eth1:mode=4,miimon=050,lacp_rate=1,xmit_hash_policy=1", bond("bond0", "eth0,eth1", "mode=802.3ad miimon=50 lacp_rate=fast xmit_hash_policy=layer3+4"), ""},
		{"an option's order does not matter", "bond0:eth0,eth1:primary=eth1,mode=1", bond("bond0", "eth0,eth1", "primary=eth1 mode=active-backup"), ""},
		{
			"a list, with the signs of /sys", "bond0:eth0,eth1:mode=1,arp_interval=100,arp_ip_target=+192.0.2.1;192.0.2.2",
			bond("bond0", "eth0,eth1", "mode=active-backup arp_interval=100 arp_ip_target=192.0.2.1,192.0.2.2"), "",
		},
		{"IPv6 list", "bond0:eth0:mode=1,arp_interval=9,ns_ip6_target=[2001:db8::1];[2001:db8::2]:1400", with(bond("bond0", "eth0", "mode=active-backup arp_interval=9 ns_ip6_target=2001:db8::1,2001:db8::2"), 1400), ""},
		{"one monitor off", "bond0:eth0:miimon=100,arp_interval=0", bond("bond0", "eth0", "miimon=100 arp_interval=0"), ""},
		{"switches", "bond0:eth0:use_carrier=on,all_slaves_active=0", bond("bond0", "eth0", "use_carrier=1 all_slaves_active=0"), ""},
		{"the driver's second name", "bond0:eth0:num_unsol_na=3", bond("bond0", "eth0", "num_grat_arp=3"), ""},
		{"hardware address", "bond0:eth0:mode=4,ad_actor_system=02-00-00-00-00-0A", bond("bond0", "eth0", "mode=802.3ad ad_actor_system=02:00:00:00:00:0a"), ""},
		{"twice, the last counts", "bond0:eth0:mode=1,miimon=5,mode=0", bond("bond0", "eth0", "miimon=5 mode=balance-rr"), ""},
		{"MTU", "bond0:eth0:mode=1:9000", with(bond("bond0", "eth0", "mode=active-backup"), 9000), ""},
		{"MTU without options", "bond0:eth0::9000", with(bond("bond0", "eth0", ""), 9000), ""},
		{"unknown option", "bond0:eth0:mod=1", none, `"mod=1"`},
		{"option without value", "bond0:eth0:miimon", none, `"miimon"`},
		{"unknown mode", "bond0:eth0:mode=balance", none, "want one of balance-rr"},
		{"mode number", "bond0:eth0:mode=7", none, `"mode=7"`},
		{"number too high", "bond0:eth0:resend_igmp=256", none, "from 0 to 255"},
		{"number too low", "bond0:eth0:lp_interval=0", none, "from 1"},
		{"not a number", "bond0:eth0:miimon=100ms", none, "100ms"},
		{"switch", "bond0:eth0:use_carrier=yes", none, "want 0 or 1"},
		{"address", "bond0:eth0:arp_interval=9,arp_ip_target=gw", none, `"gw"`},
		{"address of the other kind", "bond0:eth0:arp_interval=9,arp_ip_target=[2001:db8::1]", none, "IPv4 for arp_ip_target"},
		{"too many addresses", "bond0:eth0:arp_interval=9,arp_ip_target=" + strings.Repeat("192.0.2.1;", 16) + "192.0.2.1", none, "at most 16"},
		{"another mode's option", "bond0:eth0:mode=1,lacp_rate=1", none, "want mode=802.3ad"},
		{"another mode's option, default mode", "bond0:eth0:primary=eth0", none, "does not go with mode=balance-rr"},
		{"both monitors", "bond0:eth0:miimon=100,arp_interval=100", none, "exclude each other"},
		{"port of itself", "bond0:bond0", none, "itself"},
		{"empty port", "bond0:eth0,,eth1", none, "port without a name"},
		{"no ports", "bond0::mode=1", none, "port without a name"},
		{"a port's hardware address", "bond0:eth0,01-00-5e-00-00-01", none, "01-00-5e-00-00-01"},
		{"too much", "bond0:eth0:mode=1:9000:x", none, "too many"},
		{"no name", ":eth0", none, "has no name"},
	})
}

func TestBondOptions(t *testing.T) {
	seen := make(map[string]bool)
	modes := BondOptions()[0].Words
	for _, o := range BondOptions() {
		if seen[o.Name] {
			t.Errorf("BondOptions has %s twice", o.Name)
		}
		seen[o.Name] = true
		if (o.Kind == BondWord) != (len(o.Words) > 0) || (o.Kind == BondNumber) != (o.Max > o.Min) {
			t.Errorf("BondOptions has %+v, whose values do not fit the kind", o)
		}
		for _, mode := range o.Modes {
			if !slices.Contains(modes, mode) {
				t.Errorf("BondOptions: %s goes with the mode %q, which is none", o.Name, mode)
			}
		}
		for i, w := range o.Words {
			if got, err := o.parse(fmt.Sprint(i)); got != w || err != nil {
				t.Errorf("parse(%s=%d) = %q, %v, want %q", o.Name, i, got, err, w)
			}
		}
	}
}

func TestTeam(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     network.Bond
		wantErr  string
	}{
		{"default", "", bond("team0", "eth0,eth1", "mode=active-backup"), ""},
		{"name", "t1", bond("t1", "eth0,eth1", "mode=active-backup"), ""},
		{"ports", "t1:a,b", bond("t1", "a,b", "mode=active-backup"), ""},
		{"activebackup", "t1:a,b:activebackup", bond("t1", "a,b", "mode=active-backup"), ""},
		{"roundrobin", "t1:a,b:roundrobin", bond("t1", "a,b", "mode=balance-rr"), ""},
		{"broadcast", "t1:a,b:broadcast", bond("t1", "a,b", "mode=broadcast"), ""},
		{"loadbalance", "t1:a,b:loadbalance", bond("t1", "a,b", "mode=balance-xor xmit_hash_policy=layer2+3"), ""},
		{"lacp", "t1:a,b:lacp", bond("t1", "a,b", "mode=802.3ad xmit_hash_policy=layer2+3"), ""},
		{"random", "t1:a,b:random", network.Bond{}, `"random"`},
		{"too much", "t1:a,b:lacp:1400", network.Bond{}, "too many"},
		{"port of itself", "t1:t1", network.Bond{}, "itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warning, err := Team(tt.in)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("Team(%q) = %+v, %v, want an error with %q", tt.in, got, err, tt.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("Team(%q): %v (-want +got):\n%s", tt.in, err, diff)
			}
			if !strings.Contains(warning, got.Name) || !strings.Contains(warning, got.Options[0].Value) {
				t.Errorf("Team(%q) warns %q, want the team's name and the mode", tt.in, warning)
			}
		})
	}
}
