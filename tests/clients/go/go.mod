module pyproxy.test/client

go 1.19
