typedef int kdrt_host_empty;
