@echo off
rem HASetup.bat PRIMARY SECONDARY: makes the data replication pack, as the manual of the product says.
rem It runs `pmp-ha pack`, and further options go there. PMP_HA names another pmp-ha than the one in PATH.
rem pmp-ha does not support Windows yet. This file keeps the manual's name for the time when it does.
setlocal
if "%~2"=="" (
  echo usage: HASetup.bat ^<FQDN of PMP Primary Server^> ^<FQDN of PMP Secondary Server^> [option of pmp-ha pack...] 1>&2
  exit /b 2
)
if "%PMP_HA%"=="" set "PMP_HA=pmp-ha"
if exist "%~dp0..\conf" if exist "%~dp0..\mysql" (
  "%PMP_HA%" --home "%~dp0.." pack %*
  exit /b
)
"%PMP_HA%" pack %*
exit /b
