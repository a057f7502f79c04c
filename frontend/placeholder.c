typedef int kd_placeholder;
