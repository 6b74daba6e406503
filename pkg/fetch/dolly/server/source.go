package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Open opens a file by its path, or by an address that begins with http:// or https://.
func Open(ctx context.Context, source string) (io.ReadCloser, error) {
	if !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://") {
		return os.Open(source)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close() // the status tells all
		return nil, fmt.Errorf("get %s: %s", request.URL.Redacted(), answer.Status)
	}
	if answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 && answer.ProtoMajor < 2 {
		_ = answer.Body.Close() // what could be read of it may be a part
		return nil, fmt.Errorf("get %s: the server does not tell how long the file is, so that a part of it could not be told from the whole", request.URL.Redacted())
	}
	return answer.Body, nil
}
