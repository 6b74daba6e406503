package curl

import (
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// refused stands in a row for a download that fails.
const refused = "refused"

// besideRow is an option at a server. What curl makes of it and what we do is the same, or both are in the row, with the reason.
type besideRow struct {
	in, url string
	want    string // what the server sends, refused, or empty for the image
	ours    string // what ours comes to, where that is not the same; and why
	why     string
	least   time.Duration // that both take
}

func besideRows() []besideRow {
	const certificate = "TLSv1.3 CN=client"
	return []besideRow{
		{in: "", url: "https://{https}/sub/image", want: refused},
		{in: "-k", url: "https://{https}/sub/image"},
		{in: "-k", url: "https://{https}/protocol", want: "HTTP/2.0"},
		{in: "--insecure", url: "https://{https}/sub/image"},
		{in: "--cacert,{dir}/ca.pem", url: "https://{https}/sub/image"},
		{in: "--cacert,{dir}/client.pem", url: "https://{https}/sub/image", want: refused},
		{in: "--cacert,{dir}/nothing", url: "https://{https}/sub/image", want: refused},
		{in: "--capath,{dir}/authorities", url: "https://{https}/sub/image"},
		{in: "--capath,{dir}/others,--cacert,{dir}/client.pem", url: "https://{https}/sub/image", want: refused},

		{in: "", url: "https://{https-mutual}/x", want: refused},
		{in: "-k", url: "https://{https-mutual}/x", want: refused},
		{in: "-k,--cert,{dir}/client.pem", url: "https://{https-mutual}/x", want: certificate},
		{in: "-k,-E,{dir}/client.pem,--key,{dir}/client.pem", url: "https://{https-mutual}/x", want: certificate},
		{in: "-k,--cert,{dir}/client.pem,--key,{dir}/server.pem", url: "https://{https-mutual}/x", want: refused},
		{in: "-k,--tlsv1.2", url: "https://{https-1.2}/x", want: "TLSv1.2"},
		{in: "-k,--tlsv1.3", url: "https://{https-1.2}/x", want: refused},
		{in: "-k,--tlsv1.3,--cert,{dir}/client.pem", url: "https://{https-mutual}/x", want: certificate},

		{in: "", url: "http://{http}/login", want: refused},
		{in: "-u,name:secret", url: "http://{http}/login"},
		{in: "--user,name:secret", url: "http://name:wrong@{http}/login"},
		{in: "-u,name:wrong", url: "http://{http}/login", want: refused},
		{in: "-u,name:secret", url: "http://{http}/user", want: "authorization <Basic bmFtZTpzZWNyZXQ=>"},
		{in: "-u,name:", url: "http://{http}/user", want: "authorization <Basic bmFtZTo=>"},

		{in: "-A,agent/1", url: "http://{http}/agent", want: "agent <agent/1>"},
		{in: "--user-agent,'agent 2'", url: "http://{http}/agent", want: "agent <agent 2>"},
		{in: "-A,''", url: "http://{http}/agent", want: "agent <>"},
		{in: "-H,'X-Token: abc',-H,Accept:", url: "http://{http}/header", want: "host <127.0.0.1> token <abc> empty <> accept <>"},
		{in: "--header,X-Token:abc,-H'X-Empty;',-HAccept:a/b,-HHost:h", url: "http://{http}/header", want: "host <h> token <abc> empty <> accept <a/b>"},
		{in: "-H,User-Agent:x", url: "http://{http}/agent", want: "agent <x>"},

		{in: "", url: "http://{http}/via", want: "via <>"},
		{in: "-x,{proxy}", url: "http://{http}/via", want: "via <1.1 lab (squid)>"},
		{in: "--proxy,http://{proxy}", url: "http://{http}/via", want: "via <1.1 lab (squid)>"},
		{in: "-x,{proxy},--noproxy,127.0.0.0/8", url: "http://{http}/via", want: "via <>"},
		{in: "-x,{proxy},--noproxy,*", url: "http://{http}/via", want: "via <>"},
		{in: "-x,{proxy},--noproxy,192.0.2.1", url: "http://{http}/via", want: "via <1.1 lab (squid)>"},
		{in: "-k,-x,{proxy}", url: "https://{https}/sub/image"},
		{in: "-x,{nobody},--retry,0", url: "http://{http}/via", want: refused},
		{in: "-x,{nobody},--noproxy,127.0.0.1", url: "http://{http}/via", want: "via <>"},

		{in: "-L", url: "http://{http}/twice"},
		{in: "--location", url: "http://{http}/moved"},
		{in: "-L,--max-redirs,2", url: "http://{http}/twice"},
		{in: "-L,--max-redirs,1", url: "http://{http}/twice", want: refused},
		{in: "-L,--max-redirs,0", url: "http://{http}/moved", want: refused},
		{in: "-L,--max-redirs,-1", url: "http://{http}/twice"},
		{in: "", url: "http://{http}/moved", want: "302 Found", ours: "", why: "curl takes the page that says where the image is for the image; ours follows"},
		{in: "--no-location", url: "http://{http}/moved", want: "302 Found", ours: refused, why: "a page about a redirect is no image"},

		{in: "-4", url: "http://{http}/from", want: "from 127.0.0.1"},
		{in: "-4", url: "http://{http-6}/from", want: refused},
		{in: "-6", url: "http://{http-6}/from", want: "from ::1"},
		{in: "-6", url: "http://{http}/from", want: refused},
		{in: "--interface,127.0.0.77", url: "http://{http}/from", want: "from 127.0.0.77"},
		{in: "--interface,lo", url: "http://{http}/from", want: "from 127.0.0.1"},
		{in: "--interface,nope0,--retry,0", url: "http://{http}/from", want: refused},

		{in: "-m,1", url: "http://{http}/slow/image", want: refused, least: time.Second},
		{in: "--max-time,60", url: "http://{http}/sub/image"},
		{in: "-y,1,-Y,1000000,--retry,0", url: "http://{http}/slow/image", want: refused, least: time.Second},
		{in: "--speed-time,30,--speed-limit,1000,--retry,0", url: "http://{http}/sub/image"},
		{in: "--limit-rate,4M", url: "http://{http}/sub/image", least: time.Second},
		{in: "--limit-rate,1G", url: "http://{http}/sub/image"},
		{in: "--connect-timeout,1,--retry,0", url: "http://{silent}/x", want: refused, least: time.Second},
		{in: "--connect-timeout,60", url: "http://{http}/sub/image"},
		{in: "--retry,1,--retry-delay,1,--retry-connrefused", url: "http://{nobody}/x", want: refused, least: time.Second},

		{in: "--ftp-pasv", url: "ftp://{ftp}/sub/image"},
		{in: "--ftp-pasv", url: "ftp://{ftp-active}/sub/image", want: refused},
		{in: "--ftp-pasv", url: "ftp://{ftp-passive}/sub/image"},
		{in: "-P,-", url: "ftp://{ftp-active}/sub/image"},
		{in: "--ftp-port,127.0.0.1", url: "ftp://{ftp-active}/sub/image"},
		{in: "-P,lo", url: "ftp://{ftp-active}/sub/image"},
		{in: "-P,-", url: "ftp://{ftp-passive}/sub/image", want: refused},
		{in: "-P,-,--ftp-pasv", url: "ftp://{ftp-passive}/sub/image"},
		{in: "--ssl-reqd", url: "ftp://{ftp}/sub/image", want: refused},
		{in: "", url: "ftp://{ftp-tls}/sub/image", want: refused},
		{in: "--ssl-reqd,-k", url: "ftp://{ftp-tls}/sub/image"},
		{in: "--ssl-reqd,--cacert,{dir}/ca.pem", url: "ftp://{ftp-tls}/sub/image"},
		{in: "--ssl-reqd", url: "ftp://{ftp-tls}/sub/image", want: refused},
		{in: "-u,ftp:x", url: "ftp://{ftp}/sub/image"},
		{in: "-u,nobody:x", url: "ftp://{ftp}/sub/image", want: refused},

		{in: "-s,-S,-f,-#", url: "http://{http}/sub/image"},
		{in: "-f", url: "http://{http}/nothing", want: refused},
		{in: "--no-fail", url: "http://{http}/nothing", want: "404 Not Found", ours: refused, why: "a page about an error is no image"},
	}
}

// TestBesideCurl runs curl itself and ours with the same options at the same real servers, and compares what comes of it.
func TestBesideCurl(t *testing.T) {
	l := newLab(t)
	names := strings.NewReplacer(l.names...)
	for _, tt := range besideRows() {
		t.Run(strings.ReplaceAll(tt.in+" "+tt.url, "/", "|"), func(t *testing.T) {
			t.Parallel()
			list, url := names.Replace(tt.in), names.Replace(tt.url)
			check(t, "curl", l.byCurl(t, list, url), tt.want, tt.least)
			want := tt.want
			if tt.why != "" {
				want = tt.ours
			}
			check(t, "ours", l.byOurs(t, list, url), want, tt.least)
		})
	}
}

// check compares with what a row wants: a page about something is known by a part of it.
func check(t *testing.T, who string, g got, want string, least time.Duration) {
	t.Helper()
	page := strings.HasPrefix(want, "302") || strings.HasPrefix(want, "404")
	switch {
	case want == refused:
		if g.err == nil {
			t.Errorf("%s: got %.60q, want an error", who, g.data)
		}
	case g.err != nil:
		t.Errorf("%s: %v, want %.60q", who, g.err, want)
	case page && !strings.Contains(g.data, want), !page && want != "" && g.data != want, want == "" && g.data != string(labImage):
		t.Errorf("%s: got %d bytes, %.100q, want %.100q", who, len(g.data), g.data, want)
	}
	// Whoever may take no time at all does not wait for anything, not even on a busy machine.
	const quick = time.Minute
	if g.took < least || g.took > least+quick {
		t.Errorf("%s: took %v, want %v and not much more", who, g.took, least)
	}
}

// TestRetriesBesideCurl: a server goes wrong some times, and counts how often it is asked.
func TestRetriesBesideCurl(t *testing.T) {
	l := &lab{}
	file := fetchtest.File{Data: labImage, ETag: `"one"`}
	for _, tt := range []struct {
		in     string
		status int
		times  int // that the server goes wrong
		want   string
		asked  int
		least  time.Duration
		ours   int // how often we ask, and get it, where curl does not; and why
		why    string
	}{
		{in: "--retry,2", status: 503, times: 2, asked: 3},
		{in: "--retry,1", status: 503, times: 2, want: refused, asked: 2},
		{in: "--retry,0", status: 503, times: 1, want: refused, asked: 1},
		{in: "--retry,2,--retry-delay,1", status: 503, times: 2, asked: 3, least: 2 * time.Second},
		{in: "--retry,9,--retry-delay,3,--retry-max-time,5", status: 503, times: 9, want: refused, asked: 3, least: 6 * time.Second},
		{in: "--retry,2", status: 404, times: 1, want: refused, asked: 1},
		{in: "--retry,2,--retry-all-errors", status: 404, times: 2, asked: 3},
		{in: "--retry,1,--retry-all-errors", status: 404, times: 2, want: refused, asked: 2},
		{in: "", status: 503, times: 2, want: refused, asked: 1, ours: 3, why: "without the option ours asks as long as a server answers"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			answers := make([]fetchtest.Answer, tt.times)
			for i := range answers {
				answers[i].Status = tt.status
			}
			server := fetchtest.New(t, file, answers...)
			check(t, "curl", l.byCurl(t, tt.in, server.Image()), tt.want, tt.least)
			if n := len(server.Requests()); n != tt.asked {
				t.Errorf("curl asked %d times, want %d", n, tt.asked)
			}
			want, asked := tt.want, tt.asked
			if tt.why != "" {
				want, asked = "", tt.ours
			}
			server = fetchtest.New(t, file, answers...)
			check(t, "ours", l.byOurs(t, tt.in, server.Image()), want, tt.least)
			if n := len(server.Requests()); n != asked {
				t.Errorf("ours asked %d times, want %d", n, asked)
			}
		})
	}
}

// TestOptionsBesideCurl: every option that has an effect is compared.
func TestOptionsBesideCurl(t *testing.T) {
	var lists strings.Builder
	for _, r := range besideRows() {
		lists.WriteString("," + r.in)
	}
	lists.WriteString(",--retry,--retry-delay,--retry-max-time,--retry-all-errors,") // the rows of TestRetriesBesideCurl
	words := "," + strings.NewReplacer("-H", "-H,", "-P", "-P,").Replace(lists.String())
	for _, o := range Options() {
		if !strings.Contains(words, ",--"+o.Long+",") && !strings.Contains(words, ",-"+o.Short+",") {
			t.Errorf("%s is not compared with curl", o.Names())
		}
	}
}
